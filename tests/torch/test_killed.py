"""A process that is killed during training goes on to the same weights."""

import signal
from pathlib import Path

import torch

from tests._scripts.torch_killed import main
from tests._support.own_process import MOST_SECONDS, start
from tests._support.torch.networks import bits

STEPS = 33


def run(folder: Path, *kill_at: int) -> int:
    process = start("tests._scripts.torch_killed", str(folder), str(STEPS), *map(str, kill_at))
    process.communicate(timeout=MOST_SECONDS)
    return process.returncode


def steps(folder: Path) -> list[str]:
    return (folder / "steps.txt").read_text().splitlines()


def test_killed_twice_and_gone_on(tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    broken.mkdir()
    whole.mkdir()
    assert run(broken, 13) == -signal.SIGKILL
    assert run(broken, 24) == -signal.SIGKILL
    assert not (broken / "end.pt").exists()
    assert run(broken) == 0
    main(whole, STEPS)

    # From the last checkpoints: 10 and 20. Every step at the rates that it had, however often.
    again = [*range(14), *range(10, 25), *range(20, STEPS)]
    assert [int(line.split()[0]) for line in steps(broken)] == again
    assert sorted(set(steps(broken))) == sorted(steps(whole))
    ends = [torch.load(folder / "end.pt", weights_only=True) for folder in (broken, whole)]
    assert bits(ends[0].values()) == bits(ends[1].values())
