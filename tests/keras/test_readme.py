"""Every Python block of the README runs as it stands, one after the other, as a reader would."""

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[2] / "README.md"


def test_every_block_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    frozen = [row.parameter.name for row in names["explain"](names["model"]).rows if row.frozen]
    assert [name.split("/")[0] for name in frozen] == ["conv", "conv_bn", "conv_bn"]
