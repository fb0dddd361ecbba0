"""The notebooks run from top to bottom, and are stored without outputs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests._support import pages, scripts

NOTEBOOKS = sorted((pages.ROOT / "notebooks").glob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def code(notebook: Path) -> str:
    """All cells of code, as one file."""
    found = ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]
    return "\n\n".join(found) + "\n"


def test_there_is_one_for_each_framework() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == ["keras", "optax", "pytorch"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    printed = scripts.run_file(code(notebook), tmp_path, MPLBACKEND="Agg")
    right = re.search(r"^(\d\.\d\d) of the test images", printed, re.MULTILINE)
    assert right is not None, printed
    assert float(right[1]) > 0.85
    assert re.search(r"^Suggestion: 0\.\d+", printed, re.MULTILINE), printed
    report = Path(printed.split()[-1])
    assert "<script" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_stored_without_outputs(notebook: Path) -> None:
    """And is a notebook of format 4.5: each cell has a name of its own."""
    whole = json.loads(notebook.read_text(encoding="utf-8"))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in whole["cells"]}) == len(whole["cells"])
    for cell in whole["cells"]:
        assert "".join(cell["source"]).strip()
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
