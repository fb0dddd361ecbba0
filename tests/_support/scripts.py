"""Code of a page as a reader would run it: as a file of its own, in an empty folder.

The package is the one that is installed, or first on ``PYTHONPATH``. Set ``LAYERWISE_PYTHON`` to
the interpreter of another environment, such as one with the built wheel and a framework alone.
"""

import os
import re
import shlex
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

from tests._support import pages

PYTHON = os.environ.get("LAYERWISE_PYTHON", sys.executable)
MOST_SECONDS = 300  # to tell a hang; each takes seconds
_MODULES = {
    "layerwise": [
        "-c",
        "import sys; from layerwise.cli import app; sys.argv[0] = 'layerwise'; app()",
    ],
    "python": [],
    "torchrun": ["-m", "torch.distributed.run"],
}
_DECIMAL = re.compile(r"-?\d+\.(\d+)")


def run_file(text: str, folder: Path, **environment: str) -> str:
    """What a block prints as a file of its own."""
    (folder / "block.py").write_text(text, encoding="utf-8")
    return run_command("python block.py", folder, **environment)


def run_command(line: str, folder: Path, **environment: str) -> str:
    """What a command of a page prints; it must end well."""
    words = shlex.split(line, comments=True)
    while "=" in words[0]:  # KERAS_BACKEND=torch python train.py
        variable, _, value = words.pop(0).partition("=")
        environment[variable] = value
    name, *arguments = words
    quiet = {"HF_HUB_OFFLINE": "1", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [PYTHON, *_MODULES[name], *arguments],
        cwd=folder,
        env=quiet | os.environ | {"COLUMNS": "100"} | environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed.

    Words and whole numbers are equal. A number with decimals may differ by two in its last digit:
    another processor adds in another order.
    """
    pairs = zip_longest(shown.split(), printed.split(), fillvalue="")
    return all(_same(*pair) for pair in pairs)


def _same(shown: str, printed: str) -> bool:
    if shown == printed:
        return True
    if _DECIMAL.sub("#", shown) != _DECIMAL.sub("#", printed):
        return False
    for mine, other in zip(_DECIMAL.finditer(shown), _DECIMAL.finditer(printed), strict=True):
        room = 2.5 * 10.0 ** -min(len(mine[1]), len(other[1]))
        if abs(float(mine[0]) - float(other[0])) > room:
            return False
    return True


def follow(page: Path, folder: Path) -> list[str]:
    """Do what a recipe says: write its files, run its commands, compare what they print.

    Returns:
        The commands that were run.

    Raises:
        AssertionError: A command fails, or prints something else than the page says.
    """
    commands: list[str] = []
    printed = ""
    for block in pages.blocks(page):
        if block.kind == pages.FILE:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.kind == pages.CONSOLE:
            lines = block.text.splitlines()
            printed = "".join(run_command(line, folder) for line in lines)
            commands += lines
        elif block.kind == pages.ANSWER:
            assert same(block.text, printed), f"{block.where} says\n{block.text}\nnot\n{printed}"
    return commands
