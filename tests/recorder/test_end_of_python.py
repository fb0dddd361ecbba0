"""A recorder that is still there when Python ends."""

import subprocess
import sys

import pytest

SCRIPT = """
import {module}
from layerwise import recorder

kept = recorder.Recorder({run!r})
kept.log(step=0)
{ending}
"""


@pytest.mark.parametrize("ending", ["kept.close()", ""], ids=["closed", "open"])
@pytest.mark.parametrize("module", ["sys", "jax"])
def test_it_ends_without_a_word(tmp_path, module, ending):
    pytest.importorskip(module)
    script = SCRIPT.format(module=module, run=str(tmp_path), ending=ending)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
