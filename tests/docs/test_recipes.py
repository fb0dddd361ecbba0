"""Each recipe does what it says: its files are saved, its commands run, their output compared."""

from pathlib import Path

import pytest
import torch

from layerwise.recorder import History
from tests._support import pages, scripts

RECIPES = sorted((pages.DOCS / "recipes").glob("*.md"))
WITH_FILES = [page for page in RECIPES if page.name != "index.md"]
TUTORIAL = pages.DOCS / "tutorial.md"


@pytest.mark.parametrize("page", [*WITH_FILES, TUTORIAL], ids=lambda page: page.stem)
def test_a_recipe_does_what_it_says(page: Path, tmp_path: Path) -> None:
    commands = scripts.follow(page, tmp_path)
    assert commands
    if page.stem == "vision":
        check_vision(tmp_path)


def check_vision(folder: Path) -> None:
    """Stopped and resumed is never stopped, in every bit; and the report is there."""
    history = History.load(folder / "runs" / "digits")
    assert history.batch["step"].tolist() == list(range(120))
    assert "<script" in (folder / "report.html").read_text(encoding="utf-8")
    stopped = torch.load(folder / "checkpoint.pt", weights_only=True)
    (folder / "checkpoint.pt").unlink()
    scripts.run_command("python finetune.py", folder)
    never = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert stopped["scheduler"] == never["scheduler"]
    assert stopped["optimizer"]["param_groups"] == never["optimizer"]["param_groups"]
    for name, weight in never["model"].items():
        assert torch.equal(stopped["model"][name], weight), name
    for number, state in never["optimizer"]["state"].items():
        for name, value in state.items():
            assert torch.equal(stopped["optimizer"]["state"][number][name], value), name


@pytest.mark.parametrize("page", WITH_FILES, ids=lambda page: page.stem)
def test_a_recipe_is_whole(page: Path) -> None:
    """A file to save, a command to run, what it prints, and a line in the list."""
    kinds = [block.kind for block in pages.blocks(page)]
    assert pages.FILE in kinds
    assert pages.RUN not in kinds, "code that no file has"
    assert kinds.count(pages.ANSWER) == kinds.count(pages.CONSOLE) > 0
    assert f"({page.name})" in (page.parent / "index.md").read_text(encoding="utf-8")


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    commands = "```console\npython a.py\n```\n\n```text\n1.0\n```"
    text = f'```python title="a.py"\nprint(1.0)\n```\n\n{commands}'
    page.write_text(text + "\n", encoding="utf-8")
    assert scripts.follow(page, tmp_path) == ["python a.py"]
    page.write_text(text.replace("text\n1.0", "text\n2.0") + "\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=r"page.md:9 says\n2.0"):
        scripts.follow(page, tmp_path)
