"""Rates that a scheduler of PyTorch cut when it was made, before or after a ``ScheduleLR``."""

from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise import linear, warmup
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
