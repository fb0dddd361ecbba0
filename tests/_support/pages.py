"""The pages of the documentation, block by block, and what it means to run one.

What stands after the three backticks says what a block is:

- `python`, also with `title="with Layerwise"`: it is run, in the order of the page, with the names
  of the blocks before it;
- `python title="before"`: code as it was written for something else, shown and never run;
- `python title="train.py"`: a whole file, which stands for itself; `scripts.follow` runs it;
- `python picture`: an expression a line, each a schedule that the site draws;
- `console`: commands, one a line; they are shown, and run by `scripts.follow`;
- `text` right after a block that is run, or after commands: what they print;
- anything else (`bash`, `json`, ...): shown.
"""

import contextlib
import doctest
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerwise import schedules
from tests._support.rooms import ROOT

DOCS = ROOT / "docs"

RUN, BEFORE, PICTURE, OUTPUT, SHOWN = "run", "before", "picture", "output", "shown"
FILE, CONSOLE, ANSWER = "file", "console", "answer"
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KINDS = {
    "": RUN,
    'title="with Layerwise"': RUN,
    'title="before"': BEFORE,
    "picture": PICTURE,
}
_TITLE = re.compile(r'title="(\w+\.py)"')
_OUTPUTS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@dataclass(frozen=True)
class Block:
    """One block of code of a page."""

    page: Path
    line: int
    kind: str
    text: str
    title: str = ""

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All blocks of a page in their order."""
    found: list[Block] = []
    text, end = page.read_text(encoding="utf-8"), 0
    for fence in _FENCE.finditer(text):
        line = text.count("\n", 0, fence.start()) + 1
        between, end = text[end : fence.start()], fence.end()
        before = found[-1].kind if found and not between.strip() else SHOWN
        kind = _kind(f"{page.name}:{line}", fence[1], fence[2].strip(), before)
        title = _TITLE.fullmatch(fence[2].strip())
        found.append(Block(page, line, kind, fence[3], title[1] if title else ""))
    return found


def _kind(where: str, language: str, info: str, before: str) -> str:
    if language == "python":
        if _TITLE.fullmatch(info):
            return FILE
        kind = _KINDS.get(re.sub(r"^(picture) steps=\d+$", r"\1", info))
        assert kind is not None, f"{where}: `python {info}` says neither run nor before nor picture"
        return kind
    assert language, f"{where}: a block without a language"
    if language == "console":
        return CONSOLE
    return {RUN: OUTPUT, CONSOLE: ANSWER}.get(before, SHOWN) if language == "text" else SHOWN


def run(page: Path) -> dict[str, Any]:
    """Run a page from top to bottom; the names that it has made.

    Raises:
        AssertionError: A block prints something else than the page says, or draws no schedule.
    """
    names: dict[str, Any] = {"__name__": page.stem}
    printed = ""
    for block in blocks(page):
        if block.kind == RUN:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
            printed = out.getvalue()
        elif block.kind == OUTPUT:
            same = doctest.OutputChecker().check_output(block.text, printed, _OUTPUTS)
            assert same, f"{block.where} says\n{block.text}\nand this is printed\n{printed}"
        elif block.kind == PICTURE:
            check_picture(block)
    return names


def check_picture(block: Block) -> None:
    """Every line makes a schedule, which prints as an expression for the same one."""
    for line in expressions(block.text):
        schedule = eval(line, vars(schedules).copy())
        assert isinstance(schedule, schedules.Schedule), f"{block.where}: {line}"
        assert eval(repr(schedule), vars(schedules).copy()) == schedule, block.where


def expressions(text: str) -> Iterator[str]:
    """The lines of a block of pictures, without the comments."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return (line for line in lines if line)
