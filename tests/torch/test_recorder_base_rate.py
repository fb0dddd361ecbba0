"""The base rate in a row is the one that the groups' rates are multiples of, whoever set them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise import linear
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, find_lr, param_groups
from tests._support.torch.networks import make_batch, make_network, through_a_file, update

STEPS = 6
RULES = {"backbone": 0.1}


def make(rules: Any = RULES) -> tuple[Any, Any]:
    model = make_network()
    return model, torch.optim.SGD(param_groups(model, rules, lr=0.1))


def halve(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= 0.5


def one_cycle(optimizer: Any) -> Any:
    return peer.OneCycleLR(optimizer, [0.01, 0.1], total_steps=10)


SCHEDULERS: dict[str, Any] = {
    "OneCycleLR": one_cycle,
    "CyclicLR": lambda it: peer.CyclicLR(it, [0.001, 0.01], [0.01, 0.1], 3, cycle_momentum=False),
    "ReduceLROnPlateau": lambda it: peer.ReduceLROnPlateau(it, factor=0.5, patience=0),
    "ExponentialLR": lambda it: peer.ExponentialLR(it, 0.5),
    "ScheduleLR": lambda it: ScheduleLR(it, linear(10)),
}


def train(run: Path, model: Any, optimizer: Any, change: Any, source: Any = None) -> Any:
    with Recorder(run, optimizer if source is None else source) as recorder:
        for step in range(STEPS):
            update(model, optimizer, step)
            change()
            recorder.log(loss=1.0)
    return History.load(run).batch


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("loaded", [False, True], ids=["", "loaded"])
def test_under_a_scheduler(name: str, loaded: bool, tmp_path: Path) -> None:
    model, optimizer = make()
    scheduler = SCHEDULERS[name](optimizer)
    if loaded:
        state = through_a_file(optimizer.state_dict())
        for group in state["param_groups"]:
            group.pop("lr_factor", None)  # as of a version that did not keep it
        optimizer.load_state_dict(state)
    arguments = (1.0,) if name == "ReduceLROnPlateau" else ()
    batch = train(tmp_path, model, optimizer, lambda: scheduler.step(*arguments), scheduler)
    assert batch["rate"].tolist() == pytest.approx(batch["rates/default"].tolist())
    assert batch["rates/backbone"].tolist() == pytest.approx((batch["rate"] / 10).tolist())
    assert len(set(batch["rate"])) > 1


def test_rates_that_a_hand_changes(tmp_path: Path) -> None:
    model, optimizer = make()
    batch = train(tmp_path, model, optimizer, lambda: halve(optimizer))
    assert batch["rate"].tolist() == pytest.approx([0.1 * 0.5**step for step in range(STEPS)])


def test_rates_that_are_no_longer_multiples_of_one(tmp_path: Path) -> None:
    model, optimizer = make()
    scheduler = peer.CyclicLR(optimizer, 0.01, 0.1, 3, cycle_momentum=False)  # one for all groups
    assert "rate" not in train(tmp_path, model, optimizer, scheduler.step, scheduler)


@pytest.mark.parametrize("change", [one_cycle, halve])
def test_a_search_keeps_the_factors_of_the_rules(change: Any) -> None:
    model, optimizer = make()
    change(optimizer)
    batches = [make_batch(step) for step in range(20)]
    loss = torch.nn.functional.cross_entropy
    finding = find_lr(model, optimizer, loss, batches, progress=False)
    assert finding.group_factors == pytest.approx({"backbone": 0.1, "default": 1.0})
