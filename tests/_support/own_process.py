"""A module of the tests in a process of its own, and what it reports."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def report(**found: Any) -> None:
    """Hand over what was found, as the last thing that the process does."""
    sys.stdout.write(json.dumps(found) + "\n")


def reported(module: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What ``python -m module`` hands over."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
