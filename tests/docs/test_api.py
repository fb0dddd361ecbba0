"""Every public name is on the site, and has an example that runs."""

import doctest
import importlib
import inspect
import re
from typing import Any

import griffe
import pytest

from layerwise.keras import LRMultiplier
from tests._support.pages import DOCS
from tests._support.rooms import ROOT

MODULES = (
    "errors",
    "finder",
    "keras",
    "keras.callbacks",
    "keras.layers",
    "multipliers",
    "optax",
    "plots",
    "recorder",
    "report",
    "schedules",
    "torch",
    "torch.lightning",
    "torch.transformers",
)
NAMES = [
    (f"layerwise.{module}", name)
    for module in MODULES
    for name in importlib.import_module(f"layerwise.{module}").__all__
    if name not in ("callbacks", "layers")  # modules, which have entries of their own here
]
# Keras' own classes with one more argument: made in a loop, and explained once, by their module.
MADE_IN_A_LOOP = "layerwise.keras.layers"
IDS = [f"{module}.{name}" for module, name in NAMES]
# The text under an alias of types is no docstring to Python, so no leg of the tests runs it.
ALIASES = [
    pytest.param(module, name, id=f"{module}.{name}")
    for module, name in NAMES
    if module != MADE_IN_A_LOOP
    for value in [getattr(importlib.import_module(module), name)]
    if not (inspect.isclass(value) or inspect.isroutine(value))
]


@pytest.fixture(scope="module")
def library() -> Any:
    """The library as griffe reads it, without running it, as the site does."""
    loader = griffe.GriffeLoader(search_paths=[ROOT / "src"])
    package = loader.load("layerwise")
    loader.resolve_aliases(implicit=True)
    return package


def docstring(library: Any, module: str, name: str) -> str:
    found = library[module.removeprefix("layerwise.")]
    if module != MADE_IN_A_LOOP:
        found = found[name]
    return found.docstring.value if found.docstring else ""


@pytest.mark.parametrize(("module", "name"), NAMES, ids=IDS)
def test_every_public_name_has_an_example(library: Any, module: str, name: str) -> None:
    text = docstring(library, module, name)
    examples = doctest.DocTestParser().get_examples(text)
    assert examples, f"there is no example in:\n{text}"


@pytest.mark.parametrize(("module", "name"), ALIASES)
def test_the_examples_of_aliases_run(library: Any, module: str, name: str) -> None:
    text = docstring(library, module, name)
    test = doctest.DocTestParser().get_doctest(text, {}, f"{module}.{name}", None, None)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert tried
    assert not failed


def test_every_public_name_is_on_a_page() -> None:
    """By a directive of its own or its module's; the layers and the façade by their names."""
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md")}
    shown = {found for text in pages.values() for found in re.findall(r"^::: (\S+)$", text, re.M)}
    for module, name in NAMES:
        if module == MADE_IN_A_LOOP:
            assert f"`{name}`" in pages["keras"], f"layers.{name} is not on the page api/keras.md"
        else:
            assert shown & {module, f"{module}.{name}"}, f"{module}.{name} is on no page"
    for name in importlib.import_module("layerwise").__all__:
        assert re.search(rf"`{name}`", pages["index"]), f"{name} is not on the page api/index.md"


def test_the_site_shows_how_to_make_a_multiplied_optimizer(library: Any) -> None:
    """The site reads a class' arguments off ``__init__``; this one is made by ``__new__``."""
    shown = [argument.name for argument in library["keras.LRMultiplier"].parameters]
    assert shown[1:] == list(inspect.signature(LRMultiplier.__new__).parameters)[1:]
