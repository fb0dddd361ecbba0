"""docs/keras.md: every block runs on each backend, and prints what the page says."""

from pathlib import Path

import pytest

from tests._support import pages

PAGE = pages.DOCS / "keras.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = pages.run(PAGE)
    assert int(names["second_phase"].iterations) == 40
    frozen = [row.parameter.name for row in names["optimizer"].plan().rows if row.frozen]
    assert frozen == ["conv_1/kernel", "conv_1/bias"]
