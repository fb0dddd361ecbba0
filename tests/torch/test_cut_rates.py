"""Rates that a scheduler of PyTorch beside a ``ScheduleLR`` cuts: when it is made, and to 0."""

from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise import exponential, linear, warmup
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import make_network, through_a_file, update


def make() -> tuple[Any, Any]:
    model = make_network()
    return model, torch.optim.SGD(param_groups(model, {"head": 0.5}, lr=0.1))


def test_a_cut_that_was_made_after_is_none() -> None:
    model, optimizer = make()
    schedule = ScheduleLR(optimizer, warmup(4, start=0.1))
    second = peer.LinearLR(optimizer, 0.1, total_iters=3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1})
    optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
    for step in range(5):  # warnings are errors
        update(model, optimizer, step)
        second.step()
        schedule.step()


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_cut_in_a_sequence_is_as_it_should_be() -> None:
    model, optimizer = make()
    parts = [peer.LinearLR(optimizer, 0.1, total_iters=3), ScheduleLR(optimizer, linear(10))]
    sequence = peer.SequentialLR(optimizer, parts, milestones=[3])
    for step in range(6):
        update(model, optimizer, step)
        sequence.step()
    optimizer.param_groups[0]["lr"] *= 0.5
    update(model, optimizer, 6)
    sequence.step()


@pytest.mark.parametrize("cutting", [peer.LinearLR, peer.ConstantLR])
def test_a_cut_that_was_made_before_is_told(cutting: Any) -> None:
    model, optimizer = make()
    first = cutting(optimizer, 0.1, total_iters=3)
    schedule = ScheduleLR(optimizer, linear(10))
    update(model, optimizer, 0)
    first.step()
    if cutting is peer.ConstantLR:  # which changes nothing before its end
        schedule.step()
        first.step()
        first.step()
    with pytest.warns(UserWarning, match=rf"{cutting.__name__} cut .* Make the ScheduleLR first"):
        schedule.step()


ENDING: dict[str, Any] = {
    "LinearLR": lambda optimizer: peer.LinearLR(optimizer, 1.0, 0.0, total_iters=6),
    "PolynomialLR": lambda optimizer: peer.PolynomialLR(optimizer, 6, power=2.0),
    "CosineAnnealingLR": lambda optimizer: peer.CosineAnnealingLR(optimizer, 6),  # rises again
    "StepLR": lambda optimizer: peer.StepLR(optimizer, 6, gamma=0.0),
    "MultiplicativeLR": lambda o: peer.MultiplicativeLR(o, lambda step: float(step != 6)),
}


def rates_beside(first: Any, second: Any, resumed: int | None = None) -> list[list[float]]:
    """The rates of 20 steps under two schedulers, which may be loaded at one of them."""
    optimizer, seen = make()[1], []
    both = [first(optimizer), second(optimizer)]
    for step in range(20):
        if step == resumed:
            saved = through_a_file([each.state_dict() for each in (optimizer, *both)])
            optimizer = make()[1]
            both = [first(optimizer), second(optimizer)]
            for each, state in zip((optimizer, *both), saved, strict=True):
                each.load_state_dict(state)
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        for each in both:
            each.step()
    return seen


@pytest.mark.parametrize("resumed", [None, 6, 7])
@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize("name", ENDING)
def test_a_scheduler_that_comes_to_0_composes_as_in_pytorch(
    name: str, ours_first: bool, resumed: int | None
) -> None:
    decays = (lambda o: peer.ExponentialLR(o, 0.9), lambda o: ScheduleLR(o, exponential(0.9)))
    pairs = [(decay, ENDING[name]) for decay in decays]
    theirs, ours = pairs if ours_first else [pair[::-1] for pair in pairs]
    expected, found = rates_beside(*theirs), rates_beside(*ours, resumed=resumed)
    assert expected[6] == pytest.approx([0.0, 0.0], abs=1e-15)
    # PyTorch multiplies step by step.
    assert found == [pytest.approx(each, rel=1e-12, abs=1e-15) for each in expected]


def test_a_rate_that_a_hand_sets_to_0_comes_back() -> None:
    _, optimizer = make()
    schedule, other = ScheduleLR(optimizer, linear(10)), peer.ExponentialLR(optimizer, 1.0)
    optimizer.step()
    other.step()
    optimizer.param_groups[0]["lr"] = 0.0
    schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.09, 0.045])


@pytest.mark.parametrize(
    "beside",
    [
        peer.ReduceLROnPlateau,
        lambda optimizer: peer.CosineAnnealingLR(optimizer, 5),
    ],
)
def test_a_scheduler_that_found_0_when_it_was_made_has_not_set_it(beside: Any) -> None:
    """A warm-up begins at 0; the other one steps once an epoch, and so not yet."""
    _, optimizer = make()
    schedule = ScheduleLR(optimizer, warmup(10))
    other = beside(optimizer)
    assert other.last_epoch == 0
    for step in range(1, 7):
        if step == 4:
            optimizer.param_groups[0]["lr"] = 0.0
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0.06, 0.03])
