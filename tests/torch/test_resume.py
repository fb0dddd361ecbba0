"""Stopped at any step and continued in a fresh process, a run goes on as if nothing had been."""

from pathlib import Path

import pytest
import torch

from tests._scripts.torch_resuming import KINDS, ORDERS, STEPS, record
from tests._support.own_process import reported
from tests._support.schedules import SCHEDULES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, kind in enumerate(KINDS):
        torch.save(record(kind), folder / f"{number:03}.pt")
    return folder


@pytest.mark.parametrize("order", ORDERS)
def test_every_step_of_every_kind(folder: Path, order: str) -> None:
    found = reported("tests._scripts.torch_resuming", order, str(folder))
    assert found["different"] == []
    assert found["continued"] == len(KINDS) * STEPS


def test_the_recorded_runs_move_and_there_are_all_kinds() -> None:
    """Weights that never change, or a kind that is left out, would make the test above empty."""
    assert {type(schedule) for schedule in SCHEDULES.values()} == {
        type(options["schedule"]) for name, options in KINDS.items() if name in SCHEDULES
    }
    for kind in KINDS:
        run = record(kind)
        assert len(run["checkpoints"]) == STEPS
        assert len(set(run["weights"])) > STEPS - 10
