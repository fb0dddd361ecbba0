"""Every Python block of the README runs as it stands, one after the other, as a reader would."""

from pathlib import Path

import pytest

from tests._support import pages

README = pages.ROOT / "README.md"


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sum(block.kind == pages.RUN for block in pages.blocks(README)) >= 5
    names = pages.run(README)
    frozen = [row.parameter.name for row in names["explain"](names["model"]).rows if row.frozen]
    assert [name.split("/")[0] for name in frozen] == ["conv", "conv_bn", "conv_bn"]
