"""Modules of the tests in processes of their own, and what they report."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MOST_SECONDS = 600  # to tell a deadlock; nothing takes that long, also on a busy machine


def report(**found: Any) -> None:
    """Hand over what was found, as the last thing that the process does."""
    sys.stdout.write(json.dumps(found) + "\n")


def reported(module: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What ``python -m module`` hands over."""
    (output,) = ended_well(module, [arguments], **environment)
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def run_ranks(module: str, folder: Path, world: int) -> None:
    """Run ``python -m module RANK FOLDER`` for every rank at once; all have to end well."""
    ended_well(module, [(str(rank), str(folder)) for rank in range(world)])


def ended_well(module: str, runs: Sequence[Sequence[str]], **environment: str) -> list[str]:
    """Run a module with each of several arguments, at once; what each wrote."""
    processes = [start(module, *arguments, **environment) for arguments in runs]
    outputs = [process.communicate(timeout=MOST_SECONDS) for process in processes]
    errors = "\n".join(error[-3000:] for _, error in outputs)
    assert [process.returncode for process in processes] == [0] * len(processes), errors
    return [output for output, _ in outputs]


def start(module: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start ``python -m module``."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
