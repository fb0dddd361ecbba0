"""The address of the project, which only its publisher knows, in the metadata of a release."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tests._support.rooms import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
HOME = "https://example.org/someone/layerwise"


@pytest.fixture
def hook(monkeypatch):
    """The module that hatchling calls; hatchling itself is only there while it builds."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("home", ROOT / ".ci" / "home.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def updated(hook):
    metadata = {"version": "1.2"}
    hook.Home.update(SimpleNamespace(root=str(ROOT)), metadata)
    return metadata


def test_without_an_address_the_readme_is_as_it_is(hook, monkeypatch):
    monkeypatch.delenv(hook.VARIABLE, raising=False)
    metadata = updated(hook)
    assert metadata["readme"] == {"content-type": "text/markdown", "text": README}
    assert metadata["urls"] == {}


def test_with_an_address_each_link_leads_to_this_version(hook, monkeypatch):
    monkeypatch.setenv(hook.VARIABLE, f"{HOME}/")
    metadata = updated(hook)
    text = metadata["readme"]["text"]
    assert "](docs/finder.md)" in README
    assert f"]({HOME}/blob/v1.2/docs/finder.md)" in text
    assert f"]({HOME}/raw/v1.2/docs/images/demo-rates.png)" in text
    assert "](docs/" not in text
    assert text.replace(f"{HOME}/blob/v1.2/", "").replace(f"{HOME}/raw/v1.2/", "") == README
    assert metadata["urls"]["Source"] == HOME
    assert all(url.startswith(HOME) for url in metadata["urls"].values())


def test_links_that_lead_somewhere_already_stay(hook):
    text = "[a](https://x.y), [b](#here), [c](mailto:a@b.c)"
    assert hook.absolute(text, HOME, "1.2") == text
    assert hook.absolute("[a](b.md#c)", HOME, "1.2") == f"[a]({HOME}/blob/v1.2/b.md#c)"
