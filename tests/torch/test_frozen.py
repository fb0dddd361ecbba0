"""A multiplier of 0 freezes: weights and their optimizer state stay as they are, bit for bit."""

from typing import Any

import pytest
import torch

from layerwise import constant, gradual_unfreezing, piecewise_constant
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import bits, loss_of, make_network, state_bits, update
from tests._support.torch.networks import set_gradients as set_gradients_of
from tests._support.torch.optimizers import OPTIMIZERS, make_named, options_of, set_gradients
from tests.torch.test_optimizers import CASES

LOW = ("low.weight", "low.bias")

FREEZERS: dict[str, Any] = {
    "a number": 0,
    "a schedule": piecewise_constant([6], [1.0, 0.0]),
    "a callable": lambda step: float(step < 6),
}


def spoil(name: str, named: dict[str, Any]) -> None:
    """NaN in every gradient of the first layer."""
    for key in LOW:
        gradient = torch.full_like(named[key], float("nan"))
        named[key].grad = gradient.to_sparse() if name == "SparseAdam" else gradient


@pytest.mark.parametrize("freezer", FREEZERS)
@pytest.mark.parametrize(("name", "option"), CASES)
def test_frozen_weights_and_their_state_keep_every_bit(
    name: str, option: dict[str, bool], freezer: str
) -> None:
    """A schedule and a callable let the layer train first, so that there is state to keep."""
    named = make_named(name)
    groups = param_groups(named, {"low": FREEZERS[freezer]}, lr=0.01)
    optimizer = OPTIMIZERS[name](groups, **options_of(name) | option)
    scheduler = ScheduleLR(optimizer)
    low = [named[key] for key in LOW]
    start = bits(low)
    for step in range(6):
        set_gradients(name, named, step)
        optimizer.step()
        scheduler.step()
    before, others = (bits(low), state_bits(optimizer, low)), bits(named.values())[2:]
    assert (before[0] != start) == (freezer != "a number")
    assert any(before[1]) == (freezer != "a number")
    for step in range(6, 10):
        set_gradients(name, named, step)
        spoil(name, named)
        optimizer.step()
        scheduler.step()
        assert all(bool(named[key].grad.to_dense().isnan().all()) for key in LOW)
    assert (bits(low), state_bits(optimizer, low)) == before
    assert all(bool(p.isfinite().all()) for p in named.values())
    assert all(a != b for a, b in zip(bits(named.values())[2:], others, strict=True))


def test_it_joins_when_its_multiplier_does_not_freeze_any_longer() -> None:
    """The others train as if the frozen layer were not there; then it begins afresh."""
    rule = piecewise_constant([3], [0.0, 1.0])
    named, alone, late = make_named("Adam"), make_named("Adam"), make_named("Adam")
    optimizer = torch.optim.Adam(param_groups(named, {"low": rule}, lr=0.01))
    scheduler = ScheduleLR(optimizer)
    without = torch.optim.Adam(param_groups(alone, {"low": 0}, lr=0.01))
    only = torch.optim.Adam([late[key] for key in LOW], lr=0.01)
    for step in range(6):
        for each in (named, alone, late):
            set_gradients("Adam", each, step)
        if step < 3:
            spoil("Adam", named)
        else:
            only.step()
        optimizer.step()
        scheduler.step()
        without.step()
    assert bits(named.values())[2:] == bits(alone.values())[2:]
    assert bits([named[key] for key in LOW]) == bits([late[key] for key in LOW])


def test_a_closure_does_not_bring_frozen_gradients_back() -> None:
    """Lightning, for one, computes gradients inside the step."""
    for by_name in (False, True):
        model = make_network()
        rules = {"backbone": piecewise_constant([100], [0.0, 1.0])}
        optimizer = torch.optim.AdamW(param_groups(model, rules, lr=0.1))
        scheduler = ScheduleLR(optimizer)
        before = bits(model.parameters())
        seen = []

        def closure(model: Any = model, optimizer: Any = optimizer, seen: Any = seen) -> Any:
            seen.append(all(p.grad is not None for p in model.parameters()))
            optimizer.zero_grad()
            loss = loss_of(model, 0)
            loss.backward()
            return loss

        for step in range(3):
            set_gradients_of(model.parameters(), step)
            loss = optimizer.step(closure=closure) if by_name else optimizer.step(closure)
            scheduler.step()
            assert loss.item() > 0
        assert bits(model.backbone.parameters()) == before[:6]
        assert bits(model.head.parameters()) != before[6:]
        assert seen == [True] * 3  # a closure finds the gradients as they were
        assert not any(p in optimizer.state for p in model.backbone.parameters())


def test_a_schedule_of_zero_is_a_rate_of_zero_as_in_pytorch() -> None:
    """Only a multiplier freezes: a warm-up that begins at 0 trains as under LambdaLR."""
    named, theirs = make_named("Adam"), make_named("Adam")
    start = bits(named.values())
    optimizer = torch.optim.Adam(param_groups(named, lr=0.01))
    scheduler = ScheduleLR(optimizer, constant(0.0, steps=2) >> constant())
    other = torch.optim.Adam(list(theirs.values()), lr=0.01)
    peer = torch.optim.lr_scheduler.LambdaLR(other, lambda step: float(step >= 2))
    for step in range(4):
        for each in (named, theirs):
            set_gradients("Adam", each, step)
        optimizer.step()
        other.step()
        scheduler.step()
        peer.step()
        assert (bits(named.values()) == start) == (step < 2)
    assert bits(named.values()) == bits(theirs.values())


def test_gradual_unfreezing_from_the_head_down() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, gradual_unfreezing(every=2), lr=0.1))
    scheduler = ScheduleLR(optimizer)
    layers = [model.backbone[0], model.backbone[1], model.backbone[3], model.head]
    moved = []
    for step in range(8):
        before = [bits(layer.parameters()) for layer in layers]
        update(model, optimizer, step)
        scheduler.step()
        moved.append([bits(x.parameters()) != b for x, b in zip(layers, before, strict=True)])
    assert moved == [
        *[[False, False, False, True]] * 2,
        *[[False, False, True, True]] * 2,
        *[[False, True, True, True]] * 2,
        *[[True, True, True, True]] * 2,
    ]


def test_a_step_that_fails_leaves_nothing_behind() -> None:
    named = make_named("SGD")
    rules = {"low": piecewise_constant([1], [0.0, 1.0])}
    optimizer = torch.optim.SGD(param_groups(named, rules, lr=1.0), weight_decay=0.1)
    scheduler = ScheduleLR(optimizer)

    def failing() -> Any:
        raise RuntimeError("no batch")

    set_gradients("SGD", named, 0)
    with pytest.raises(RuntimeError, match="no batch"):
        optimizer.step(failing)
    set_gradients("SparseAdam", named, 0)
    with pytest.raises(RuntimeError, match="sparse, dense"):
        optimizer.step()
    scheduler.step()
    set_gradients("SGD", named, 1)
    gradient = named["low.weight"].grad
    optimizer.step()
    assert named["low.weight"].grad is gradient
