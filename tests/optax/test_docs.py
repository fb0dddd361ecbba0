"""Every example of docs/optax.md runs, and prints what the page says."""

import contextlib
import io
import re
from typing import Any

from tests.house._rooms import ROOT

PAGE = ROOT / "docs" / "optax.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_runs_from_top_to_bottom() -> None:
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 8
    names: dict[str, Any] = {}
    printed = shown = ""
    for number, (language, text) in enumerate(blocks):
        if language == "python":
            assert printed == "", f"what block {number - 1} prints is not on the page"
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, f"{PAGE.name}, block {number}", "exec"), names)
            printed = out.getvalue()
        else:
            assert language == "text"
            assert printed.split() == text.split()  # a table's spaces are its own matter
            printed, shown = "", shown + text
    assert printed == ""
    assert "head/kernel" in shown
