"""`step(epoch)` takes a scalar of any library, and a step between two, as PyTorch documents it."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from layerwise.errors import ScheduleError
from layerwise.schedules import cosine_restarts, cyclic, linear, warmup
from layerwise.torch import ScheduleLR


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)


@pytest.mark.parametrize(("period", "growth"), [(4, 1), (3, 2)])
def test_it_follows_pytorch_between_two_epochs(period, growth):
    ours, theirs = optimizer(), optimizer()
    one = ScheduleLR(ours, cosine_restarts(period, period_growth=growth))
    other = CosineAnnealingWarmRestarts(theirs, period, T_mult=growth)
    for epoch in range(12):
        for i in range(5):
            ours.step()
            theirs.step()
            one.step(epoch + i / 5)
            other.step(epoch + i / 5)
            assert one.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(
    "make", [np.int64, np.float32, np.asarray, torch.tensor, jnp.asarray], ids=repr
)
@pytest.mark.parametrize("step", [3, 2.5])
def test_a_scalar_of_any_library_is_the_step(make, step):
    if make is np.int64 and step == 2.5:
        step = 4
    scheduler = ScheduleLR(optimizer(), linear(10))
    scheduler.step(make(step))
    assert scheduler.last_epoch == step
    assert scheduler.get_last_lr() == [0.1 * linear(10)(step)]


def test_a_state_between_two_steps_is_kept():
    scheduler = ScheduleLR(optimizer(), warmup(3) >> cyclic(5, low=0.1))
    scheduler.step(4.25)
    state = scheduler.state_dict()
    again = ScheduleLR(optimizer(), warmup(3) >> cyclic(5, low=0.1))
    again.load_state_dict(state)
    assert again.get_last_lr() == scheduler.get_last_lr() == [0.1 * cyclic(5, low=0.1)(1.25)]
    again.step()
    assert again.last_epoch == 5.25


@pytest.mark.parametrize("step", [-1, -0.5, float("nan"), float("inf"), "3", True, 1j, 10**400])
def test_what_is_no_step_changes_nothing(step):
    scheduler = ScheduleLR(optimizer(), linear(10))
    scheduler.step(2.5)
    with pytest.raises(ScheduleError, match=r"epoch must be a number from 0 to 2\*\*53"):
        scheduler.step(step)
    assert scheduler.last_epoch == 2.5
    assert scheduler.get_last_lr() == [0.1 * 0.75]


def test_a_piece_of_no_length_is_refused_at_once_and_joined_is_fine():
    with pytest.raises(ScheduleError, match="no steps"):
        ScheduleLR(optimizer(), warmup(0))
    assert ScheduleLR(optimizer(), warmup(0) >> linear(10)).get_last_lr() == [0.1]
