"""What the site does to formulas and pictures, piece by piece."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree.ElementTree import tostring

import pytest

from tests._support import pages


@pytest.fixture(scope="module")
def hook() -> Iterator[object]:
    """Imports a hook as MkDocs does: by its name, from their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(pages.DOCS / "_hooks"))
        yield importlib.import_module
    for name in ("formulas", "llms", "pictures"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("latex", "expected"),
    [
        ("s", "<mi>s</mi>"),
        (r"\text{peak\_at}", "<mi>peak_at</mi>"),
        ("x_1^2", "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"),
        (r"\frac{s + 1}2", "<mfrac><mrow><mi>s</mi><mo>+</mo><mn>1</mn></mrow><mn>2</mn></mfrac>"),
        (r"\prod_i a", "<munder><mo>∏</mo><mi>i</mi></munder><mi>a</mi>"),
        (r"\sqrt{2}", "<msqrt><mrow><mn>2</mn></mrow></msqrt>"),
        (r"a \text{ for } b", "<mi>a</mi><mtext>\u00a0for\u00a0</mtext><mi>b</mi>"),
    ],
)
def test_a_formula_is_mathml(hook: ModuleType, latex: str, expected: str) -> None:
    found = tostring(hook("formulas").mathml(latex), encoding="unicode")
    assert found == f'<math display="inline"><mrow>{expected}</mrow></math>'


@pytest.mark.parametrize("latex", [r"\unknown", "{a", "a}", "a_", "a^1^2", r"\frac{1}"])
def test_a_formula_that_is_not_known_stops_the_build(hook: ModuleType, latex: str) -> None:
    with pytest.raises(ValueError, match=r"can't be shown"):
        hook("formulas").mathml(latex)


def test_pictures_are_drawn_alike_each_time(hook: ModuleType) -> None:
    draw = hook("pictures").picture
    light, dark = (draw(["cosine(9)"], None, ground) for ground in ("#ffffff", "#1e2129"))
    assert light == draw(["cosine(9)"], None, "#ffffff")
    assert light != dark
    assert light.startswith("<?xml")


def test_llms_text_has_each_page_with_its_first_sentence(hook: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.md").write_text("# Start\n\n**All** [of](x.md) it. More.\n")
    (tmp_path / "a.md").write_text("# A\n\n```python\nno\n```\n\nTwo\nlines: `x`.\n")
    (tmp_path / "sub" / "index.md").write_text("# Sub\n\n| a |\n|---|\n\nWhole.\n")
    nav = [{"Start": "index.md"}, {"A": "a.md"}, {"Parts": ["sub/index.md"]}]
    make = hook("llms").llms_text
    assert make("Name", "What.", nav, tmp_path) == (
        "# Name\n\n> What.\n\n## Pages\n\n- [Start](./): All of it.\n- [A](a/): Two lines: `x`.\n\n"
        "## Parts\n\n- [Sub](sub/): Whole.\n"
    )
    assert "(https://x.y/a/)" in make("Name", "What.", nav, tmp_path, "https://x.y/")


def test_a_page_without_a_sentence_stops_llms_text(hook: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# A\n\n```text\nno\n```\n")
    with pytest.raises(ValueError, match=r"a.md must begin with a heading"):
        hook("llms").llms_text("Name", "What.", ["a.md"], tmp_path)
