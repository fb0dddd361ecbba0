"""The command of an installed Layerwise, in an empty folder."""

import json
import shutil
import subprocess
import sysconfig
from importlib.metadata import version
from pathlib import Path

import numpy as np

COMMAND = shutil.which("layerwise", path=sysconfig.get_path("scripts")) or "no command"


def said(*arguments: str) -> str:
    """What the command prints when all goes well."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done
    return done.stdout


assert said("--version") == f"layerwise {version('layerwise')}\n"
assert "layerwise explain" in said("explain", "--help")
np.savez("model.npz", **{"backbone/kernel": np.zeros((4, 3)), "head/kernel": np.zeros((3, 1))})
Path("rules.json").write_text('{"backbone": 0.1}', encoding="utf-8")
table = json.loads(said("explain", "model.npz", "rules.json", "--json"))
assert table["multiplier"] == [0.1, 1.0], table
