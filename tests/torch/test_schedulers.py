"""The table in docs/torch-schedulers.md: each line's two sides give the same rates.

PyTorch's `step()` computes most rates from the one before, and its error grows with every step.
Where it has a closed form, that is the truth here; what its `step()` gives is compared, too, as
long as it keeps the digits. That it loses them in the end has a test of its own.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise import schedules
from layerwise.torch import ScheduleLR

PAGE = Path(__file__).resolve().parents[2] / "docs" / "torch-schedulers.md"
LINES = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
ROWS = [re.fullmatch(r"\| `(.+)` \| `(.+)` \|", line).groups() for line in LINES]

STEPS = 300
LR, MOMENTUM = 0.1, 0.9

# Both sides round some ten operations in float64. Near 0 PyTorch subtracts numbers as large as
# the rate, hence the floor.
RELATIVE, FLOOR = 1e-12, 1e-16

NO_CLOSED_FORM = {"LRScheduler", "ReduceLROnPlateau"}


def make_optimizer() -> torch.optim.Optimizer:
    weight = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([weight], lr=LR, momentum=MOMENTUM)


def made(expression: str) -> tuple[Any, Any]:
    """The optimizer and scheduler of one side of the table."""
    optimizer = make_optimizer()
    names = {name: getattr(peer, name) for name in peer.__all__}
    names |= {name: getattr(schedules, name) for name in schedules.__all__}
    names |= {"optimizer": optimizer, "ScheduleLR": ScheduleLR}
    with warnings.catch_warnings():
        # PyTorch's SequentialLR calls its parts' step() with an epoch, and warns about itself.
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        return optimizer, eval(expression, names)


def walked(expression: str) -> tuple[Any, Any]:
    """The rate and the momentum before each update."""
    optimizer, scheduler = made(expression)
    group = optimizer.param_groups[0]
    rates, momenta = [], []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        for step in range(STEPS):
            rates.append(group["lr"])
            momenta.append(group["momentum"])
            optimizer.step()
            if step + 1 < STEPS:  # OneCycleLR raises after its last step
                scheduler.step()
    return np.asarray(rates), np.asarray(momenta)


def closed_form(expression: str) -> Any:
    """The rates by PyTorch's own closed form, or None if it has none."""
    _, scheduler = made(expression)
    closed = getattr(scheduler, "_get_closed_form_lr", None)
    if closed is None:
        return None
    rates = []
    for step in range(STEPS):
        scheduler.last_epoch = step
        rates.append(closed()[0])
    return np.asarray(rates)


def test_the_table_has_every_scheduler() -> None:
    named = {name for theirs, _ in ROWS for name in re.findall(r"\w+", theirs)}
    assert set(peer.__all__) - NO_CLOSED_FORM <= named


@pytest.mark.parametrize(("theirs", "ours"), ROWS, ids=[theirs for theirs, _ in ROWS])
def test_both_sides_give_the_same(theirs: str, ours: str) -> None:
    rates, momenta = walked(f"ScheduleLR(optimizer, {ours})")
    their_rates, their_momenta = walked(theirs)
    truth = closed_form(theirs)
    if truth is not None:
        np.testing.assert_allclose(rates, truth, rtol=RELATIVE, atol=FLOOR)
    np.testing.assert_allclose(rates, their_rates, rtol=RELATIVE, atol=FLOOR)
    np.testing.assert_allclose(momenta, their_momenta, rtol=RELATIVE)
    assert len(set(rates)) > 1


def test_the_momentum_is_cycled_where_pytorch_does() -> None:
    cycled = [theirs for theirs, ours in ROWS if "momentum=" in ours]
    assert len(cycled) >= 5
    for theirs in cycled:
        assert len(set(walked(theirs)[1])) > 10


def test_a_recursion_drifts_and_a_closed_form_does_not() -> None:
    steps = np.arange(8_000)
    truth = 0.001 + (LR - 0.001) * (1 + np.cos(np.pi * (steps % 80) / 40)) / 2
    optimizers = [make_optimizer(), make_optimizer()]
    cosine = schedules.cosine
    there_and_back = (cosine(40, end=0.01) >> cosine(40, start=0.01, end=1)).repeat()
    pair = (
        ScheduleLR(optimizers[0], there_and_back),
        peer.CosineAnnealingLR(optimizers[1], T_max=40, eta_min=0.001),
    )
    rates = np.empty((2, len(steps)))
    for step in steps:
        for row, (optimizer, scheduler) in enumerate(zip(optimizers, pair, strict=True)):
            rates[row, step] = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
    ours, theirs = np.max(np.abs(rates / truth - 1), axis=1)
    assert ours < RELATIVE < theirs


@pytest.mark.parametrize("kind", ["one", "each"])
def test_two_groups_of_different_rates(kind: str) -> None:
    """The factor is one, the rates are in proportion: as with PyTorch's schedulers."""
    optimizers = []
    for _ in range(2):
        parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, (0.1, 0.7), strict=True)]
        optimizers.append(torch.optim.SGD(groups, lr=LR))
    schedule = schedules.exponential(0.9)
    ours = ScheduleLR(optimizers[0], schedule if kind == "one" else [schedule, schedule])
    theirs = peer.ExponentialLR(optimizers[1], gamma=0.9)
    for _ in range(50):
        optimizers[1].step()
        ours.step()
        theirs.step()
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=RELATIVE)
