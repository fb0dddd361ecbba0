"""find_lr in the middle of training: multipliers are those of the step that the scheduler is at."""

from typing import Any

import pytest
import torch
from accelerate.scheduler import AcceleratedScheduler
from torch import nn

from layerwise import (
    cosine,
    gradual_unfreezing,
    linear,
    piecewise_constant,
    plateau,
    reduce_on_plateau,
)
from layerwise.errors import ScheduleError
from layerwise.torch import ScheduleLR, find_lr, find_rates, param_groups
from tests._support.torch.finding import QUIET, fingerprint, loss_function, make_loader, train
from tests._support.torch.networks import make_network

RULES = {"backbone": piecewise_constant([5, 9], [0.0, 0.5, 2.0])}
STAGES = [(0, 0.0), (4, 0.0), (5, 0.5), (8, 0.5), (9, 2.0)]


def make(step: int, schedule: Any = None) -> tuple[Any, Any, Any]:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1), momentum=0.9)
    return model, optimizer, ScheduleLR(optimizer, schedule, last_epoch=step - 1)


def factors(model: Any, optimizer: Any, **options: Any) -> dict[str, float]:
    found = find_lr(model, optimizer, loss_function, make_loader(), **QUIET, **options)
    return dict(found.group_factors)


@pytest.mark.parametrize(("step", "factor"), STAGES)
def test_an_attached_scheduler_is_asked(step: int, factor: float) -> None:
    model, optimizer, scheduler = make(step, cosine(20))
    assert factors(model, optimizer) == {"backbone": factor, "default": 1.0}
    assert scheduler.last_epoch == step


def test_the_search_trains_what_training_does_at_that_step() -> None:
    """A group whose multiplier is still 0 is not moved by the search, later it is."""
    for step, moves in ((0, False), (5, True)):
        model, optimizer, scheduler = make(step)
        start, moved = model.backbone[0].weight.clone(), set()

        def loss(outputs: Any, targets: Any, model: Any = model, start: Any = start) -> Any:
            moved.add(torch.equal(model.backbone[0].weight, start))  # noqa: B023
            return loss_function(outputs, targets)

        find_lr(model, optimizer, loss, make_loader(), **QUIET)
        assert (False in moved) == moves
        assert scheduler.last_epoch == step


def test_a_scheduler_that_has_stepped_and_is_gone() -> None:
    """The optimizer remembers how far it came."""
    model, optimizer, scheduler = make(0)
    for _ in range(6):
        scheduler.step()
    del scheduler
    assert factors(model, optimizer)["backbone"] == 0.5


def test_gradual_unfreezing_late_in_training() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(32, 4)
    optimizer = torch.optim.SGD(param_groups(net, gradual_unfreezing(every=100), lr=0.1))
    scheduler = ScheduleLR(optimizer, last_epoch=499)
    data = [(x, x.sum(1, keepdim=True))] * 20
    found = find_lr(net, optimizer, nn.functional.mse_loss, data, **QUIET)
    assert dict(found.group_factors) == {"0": 1.0, "2": 1.0}
    assert scheduler.last_epoch == 500


def test_a_wrapped_or_another_scheduler_that_is_given_tells_the_step() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(param_groups(model, RULES, lr=0.1))
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.1
    theirs = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0, last_epoch=8)
    assert factors(model, optimizer, scheduler=theirs)["backbone"] == 2.0
    wrapped = AcceleratedScheduler(theirs, optimizer)
    assert factors(model, optimizer, scheduler=wrapped)["backbone"] == 2.0


def test_an_attached_scheduler_that_a_step_steps_is_put_back() -> None:
    """It need not be given as scheduler=."""
    model, optimizer, scheduler = make(7, cosine(20))
    before = fingerprint(model, optimizer, scheduler)

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        scheduler.step()
        return loss

    found = find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    assert fingerprint(model, optimizer, scheduler) == before
    assert found.group_factors["backbone"] == 0.5


@pytest.mark.parametrize("reports", [1, 3, 5])
def test_what_metrics_have_decided_counts(reports: int) -> None:
    """Layers that a plateau has unfrozen are searched, and one that it slowed is slow."""
    rules = [
        gradual_unfreezing(when=plateau("val_loss", patience=2)),
        {"0.bias": reduce_on_plateau("val_loss", factor=0.5, patience=1)},
    ]
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(param_groups(net, rules, lr=0.1))
    scheduler = ScheduleLR(optimizer)
    x = torch.randn(32, 4)
    data = [(x, x.sum(1, keepdim=True))] * 20
    for _ in range(reports):
        scheduler.report({"val_loss": 1.0})
    found = find_lr(net, optimizer, nn.functional.mse_loss, data, **QUIET)
    rates = scheduler.get_last_lr()
    assert list(found.group_factors.values()) == pytest.approx([rate / 0.1 for rate in rates])
    assert len({rate > 0 for rate in rates}) == (2 if reports < 3 else 1)


def test_a_multiplier_of_tokens_is_where_the_scheduler_has_counted_to() -> None:
    model = make_network()
    rules = {"backbone": linear(1000).by("tokens")}
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1))
    assert factors(model, optimizer) == {"backbone": 1.0, "default": 1.0}
    scheduler = ScheduleLR(optimizer)
    assert factors(model, optimizer)["backbone"] == 1.0
    for tokens in (400, 100):
        scheduler.step(tokens=tokens)
    assert factors(model, optimizer)["backbone"] == 0.5
    del scheduler
    with pytest.raises(ScheduleError, match=r"nobody has counted them.*ScheduleLR\(..., counts="):
        factors(model, optimizer)


@pytest.mark.parametrize("find", [find_lr, find_rates])
@pytest.mark.parametrize("many", [False, True], ids=["one", "each"])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("horizon", [None, 200])
def test_a_schedule_of_tokens_is_told_to_be_left_out(
    find: Any, many: bool, steps: int, horizon: int | None
) -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = cosine(1000).by("tokens")
    scheduler = ScheduleLR(optimizer, [schedule] if many else schedule)
    for _ in range(steps):
        scheduler.step(tokens=4)
    quiet = {"progress": False} | ({"budget": 120} if find is find_rates else {})
    found = find(model, optimizer, loss_function, make_loader(), horizon=horizon, **quiet)
    assert "cosine(1000).by('tokens'), counts tokens, not updates, and is left out" in found.reason
    assert "horizon=" not in found.reason
