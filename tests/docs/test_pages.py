"""Every page runs as it stands, from top to bottom, as a reader would run it."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from layerwise.cli import app
from tests._support import pages

# Run where their framework is: the Keras page once on each backend.
ELSEWHERE = {
    "keras.md": "tests/keras/test_docs.py",
    "optax.md": "tests/optax/test_docs.py",
    "torch.md": "tests/torch/test_docs.py",
}
ALL = sorted(pages.DOCS.rglob("*.md"))
HERE = [
    page
    for page in ALL
    if page.name not in ELSEWHERE or page.parent != pages.DOCS
    if any(block.kind in (pages.RUN, pages.PICTURE) for block in pages.blocks(page))
]

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


@pytest.mark.parametrize("page", HERE, ids=lambda page: str(page.relative_to(pages.DOCS)))
def test_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert pages.run(page)


def test_the_other_pages_are_run_by_the_tests_named() -> None:
    for page, test in ELSEWHERE.items():
        assert any(block.kind == pages.RUN for block in pages.blocks(pages.DOCS / page))
        assert page in (pages.ROOT / test).read_text(encoding="utf-8")


def test_the_commands_on_the_pages_are_there() -> None:
    group = typer.main.get_command(app)
    found = set()
    for page in ALL:
        for line in re.findall(r"^layerwise .*$", page.read_text(encoding="utf-8"), re.MULTILINE):
            _, name, *words = shlex.split(line)
            command = group.commands[name]
            options = {option for given in command.params for option in given.opts}
            assert {word for word in words if word.startswith("-")} <= options, line
            found.add(name)
    assert found == set(group.commands)


def test_numbers_on_the_pages_are_those_of_the_readme() -> None:
    """What was measured stands in two places, and must not differ."""
    known = rows(pages.ROOT / "README.md")
    measured = [row for row in rows(pages.DOCS / "choosing.md") if "±" in row]
    assert measured[0].startswith("| single rate |")
    assert set(measured) <= set(known)


def rows(page: Path) -> list[str]:
    """The rows of all tables of a page, without emphasis."""
    text = page.read_text(encoding="utf-8").replace("**", "")
    return re.findall(r"^\|.*\|$", text, re.MULTILINE)


def test_a_block_without_a_meaning_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python no-run\nraise\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:1: `python no-run`"):
        pages.blocks(page)


def test_a_wrong_output_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nprint(1 + 1)\n```\n\n```text\n2\n```\n")
    assert [block.kind for block in pages.blocks(page)] == [pages.RUN, pages.OUTPUT]
    pages.run(page)
    page.write_text(page.read_text().replace("```text\n2", "```text\n3"))
    with pytest.raises(AssertionError, match=r"page.md:7 says\n3"):
        pages.run(page)


def test_what_was_before_is_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```python title="before"\nimport keras_of_2016\n```\n')
    assert [block.kind for block in pages.blocks(page)] == [pages.BEFORE]
    assert set(pages.run(page)) == {"__name__"}
