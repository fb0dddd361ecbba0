"""The nouns of an installed Layerwise, in an environment that has NumPy and nothing else."""

import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import layerwise
from layerwise import History, Recorder, Schedule, cosine, layer_decay, warmup
from layerwise.finder import QuadraticTrainer, search
from layerwise.multipliers import Parameter, resolve

assert Path(layerwise.__file__).is_relative_to(sys.prefix), layerwise.__file__
assert layerwise.__version__ == version("layerwise")
others = ("jax", "keras", "matplotlib", "optax", "rich", "tensorflow", "torch", "typer")
assert not [name for name in others if find_spec(name)], "The environment must be empty."

schedule = warmup(10) >> cosine(90)
assert schedule(10) == 1.0
assert schedule(np.arange(101)).shape == (101,)
assert Schedule.from_config(schedule.to_config()) == schedule

names = ("embed/kernel", "body/kernel", "head/kernel")
plan = resolve([Parameter(name, (2, 2)) for name in names], layer_decay(0.5), schedule=schedule)
assert plan.multipliers(0).tolist() == [0.25, 0.5, 1.0]
assert plan.to_dict()["parameter"] == list(names)

found = search(QuadraticTrainer(), range(500))
assert found.suggestion is not None, found.reason

with TemporaryDirectory() as folder:
    with Recorder(folder) as recorder:
        for step in range(3):
            recorder.log(step=step, loss=1.0 / (step + 1))
    assert History.load(folder).batch["loss"].tolist() == [1.0, 1 / 2, 1 / 3]

command = shutil.which("layerwise", path=sysconfig.get_path("scripts")) or "no command"
done = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
assert done.returncode == 1, done
assert 'pip install "layerwise[cli]"' in done.stderr, done.stderr
assert "Traceback" not in done.stderr, done.stderr
