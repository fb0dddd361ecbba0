"""Stopped at any step and continued in a fresh process, a run goes on as if nothing had been."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests._scripts.torch_resuming import KINDS, ORDERS, STEPS, record
from tests._support.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, kind in enumerate(KINDS):
        torch.save(record(kind), folder / f"{number:03}.pt")
    return folder


@pytest.mark.parametrize("order", ORDERS)
def test_every_step_of_every_kind(folder: Path, order: str) -> None:
    found = in_a_fresh_process("tests._scripts.torch_resuming", order, str(folder))
    assert found["different"] == []
    assert found["continued"] == len(KINDS) * STEPS


def in_a_fresh_process(module: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_recorded_runs_move_and_there_are_all_kinds() -> None:
    """Weights that never change, or a kind that is left out, would make the test above empty."""
    assert {type(schedule) for schedule in SCHEDULES.values()} == {
        type(options["schedule"]) for name, options in KINDS.items() if name in SCHEDULES
    }
    for kind in KINDS:
        run = record(kind)
        assert len(run["checkpoints"]) == STEPS
        assert len(set(run["weights"])) > STEPS - 10
