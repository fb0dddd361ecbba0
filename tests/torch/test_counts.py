"""ScheduleLR by tokens: PyTorch's LambdaLR over a count by hand is the oracle, bit for bit."""

import copy
import pickle
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from layerwise import cosine, from_function, linear, warmup
from layerwise.errors import ConfigError, ScheduleError
from layerwise.schedules import Schedule
from layerwise.torch import ScheduleLR, explain, param_groups
from tests._support.torch.networks import make_network, through_a_file, update

SIZES = [4, 4, 8, 1, 16, 16, 3, 32, 5, 5, 64, 2]
SCHEDULE = warmup(20) >> cosine(120, end=0.1)


def make_optimizer() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = make_network()
    return model, torch.optim.AdamW(param_groups(model, {"head": 0.5}, lr=0.1))


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def by_hand(function: Any = SCHEDULE) -> tuple[list[list[float]], list[torch.Tensor]]:
    """Train with PyTorch's own scheduler, whose function looks at a variable of the loop."""
    seen = 0
    model, optimizer = make_optimizer()
    scheduler = LambdaLR(optimizer, lambda _: function(seen))
    found = []
    for number, size in enumerate(SIZES):
        found.append(rates(optimizer))
        update(model, optimizer, number)
        seen += size
        scheduler.step()
    return [*found, rates(optimizer)], weights(model)


@pytest.mark.parametrize(
    "schedule",
    [SCHEDULE, linear(150).scale_steps(1.5), from_function(lambda n: 1 / (1 + n / 50))],
    ids=repr,
)
def test_sizes_that_change(schedule: Schedule) -> None:
    expected, trained = by_hand(schedule)
    model, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, schedule.by("samples"))
    for number, size in enumerate(SIZES):
        assert rates(optimizer) == expected[number]
        update(model, optimizer, number)
        scheduler.step(samples=size)
    assert rates(optimizer) == expected[-1]
    assert scheduler.counts == {"samples": sum(SIZES)}
    assert all(map(torch.equal, weights(model), trained))


def test_accumulation_counts_every_batch_and_steps_once() -> None:
    expected, _ = by_hand()
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    for number, size in enumerate(SIZES):
        assert rates(optimizer) == expected[number]
        for part in (size // 2, size - size // 2):
            scheduler.count(tokens=part)
            assert rates(optimizer) == expected[number]  # they move with the step alone
        optimizer.step()
        scheduler.step()
    assert rates(optimizer) == expected[-1]


@pytest.mark.parametrize("stop", range(len(SIZES)))
@pytest.mark.parametrize("scheduler_first", [True, False])
def test_resumed_in_the_middle(stop: int, scheduler_first: bool) -> None:
    expected, trained = by_hand()
    model, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    for number, size in enumerate(SIZES[:stop]):
        update(model, optimizer, number)
        scheduler.step(tokens=size)
    saved = through_a_file([model.state_dict(), optimizer.state_dict(), scheduler.state_dict()])

    model, optimizer = make_optimizer()
    model.load_state_dict(saved[0])
    scheduler = ScheduleLR(optimizer, linear(3) if stop % 2 else SCHEDULE.by("tokens"))
    loads = [
        lambda: optimizer.load_state_dict(saved[1]),
        lambda: _load_quietly(scheduler, saved[2]),
    ]
    for load in reversed(loads) if scheduler_first else loads:
        load()
    for number, size in enumerate(SIZES[stop:], stop):
        assert rates(optimizer) == expected[number]
        update(model, optimizer, number)
        scheduler.step(tokens=size)
    assert rates(optimizer) == expected[-1]
    assert all(map(torch.equal, weights(model), trained))


def _load_quietly(scheduler: ScheduleLR, state: dict[str, Any]) -> None:
    if scheduler.state_dict()["schedule"] == state["schedule"]:
        scheduler.load_state_dict(state)
    else:
        with pytest.warns(UserWarning, match="other schedules"):
            scheduler.load_state_dict(state)


def test_started_in_the_middle_without_a_state() -> None:
    expected, _ = by_hand()
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(
        optimizer, SCHEDULE.by("tokens"), last_epoch=4, counts={"tokens": sum(SIZES[:5])}
    )
    assert rates(optimizer) == expected[5]
    optimizer.step()
    scheduler.step(tokens=SIZES[5])
    assert rates(optimizer) == expected[6]
    with pytest.raises(ScheduleError, match="nobody has counted them"):
        ScheduleLR(make_optimizer()[1], SCHEDULE.by("tokens"), last_epoch=4)


def test_without_a_count_it_is_an_error_and_nothing_has_changed() -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    before = rates(optimizer), scheduler.state_dict()
    optimizer.step()
    for step in (scheduler.step, lambda: scheduler.step(5)):
        with pytest.raises(ScheduleError, match=r"scheduler\.step\(tokens=n\).*scheduler\.count"):
            step()
        assert (rates(optimizer), scheduler.state_dict()) == before
    scheduler.step(tokens=10)
    assert rates(optimizer) == [0.05, 0.025]


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf"), "3", None, True])
def test_an_amount_that_is_none(amount: Any) -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    scheduler.step(tokens=10)
    before = rates(optimizer), scheduler.state_dict()
    for call in (scheduler.step, scheduler.count):
        with pytest.raises(ScheduleError, match="The count of tokens must be a finite number"):
            call(tokens=amount)
        assert (rates(optimizer), scheduler.state_dict()) == before
    with pytest.raises(ScheduleError, match="The count of tokens must be a finite number"):
        scheduler.counts = {"tokens": amount}
    assert scheduler.counts == {"tokens": 10}


def test_what_nobody_counts_is_an_error() -> None:
    _, optimizer = make_optimizer()
    for schedule, known in ((SCHEDULE, "updates alone"), (SCHEDULE.by("tokens"), "tokens")):
        scheduler = ScheduleLR(optimizer, schedule)
        with pytest.raises(ScheduleError, match=f"counts 'tokns': they count {known}"):
            scheduler.step(tokns=3)
        assert scheduler.last_epoch == 0


@pytest.mark.parametrize("where", ["schedule", "weight_decay_factor", "rule"])
def test_a_count_that_nothing_counts_is_refused_where_it_is_given(where: str) -> None:
    counted = linear(1000).by("tokens")
    rules: Any = {"head": counted} if where == "rule" else {}
    given: Any = {} if where == "rule" else {where: counted}
    optimizer = torch.optim.SGD(param_groups(make_network(), rules, lr=0.1), weight_decay=0.1)
    before = [dict(group) for group in optimizer.param_groups]
    with pytest.raises(ScheduleError, match="counts 'token': they count tokens"):
        ScheduleLR(optimizer, counts={"token": 500}, **given)
    assert optimizer.param_groups == before
    scheduler = ScheduleLR(optimizer, counts={"tokens": 500}, **given)
    with pytest.raises(ScheduleError, match="counts 'token': they count tokens"):
        scheduler.counts = {"tokens": 600, "token": 600}
    assert scheduler.counts == {"tokens": 500}


def test_epochs_counted_where_they_end() -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(4).by("epochs") * warmup(3), counts={"epochs": 0})
    found = []
    for _ in range(2):
        for _ in range(3):
            optimizer.step()
            scheduler.step()
            found.append(rates(optimizer)[0])
        scheduler.count(epochs=1)
    assert found == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.075, 0.075, 0.075])
    scheduler.counts = {"epochs": 2.5}
    scheduler.step()
    assert rates(optimizer)[0] == pytest.approx(0.0375)


def test_hyperparameters_multipliers_and_one_schedule_a_group() -> None:
    model = make_network()
    groups = param_groups(model, {"head": linear(100).by("tokens")}, lr=0.1)
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = ScheduleLR(
        optimizer,
        {"default": linear(10).by("samples")},
        momentum=linear(100, 0.9, 0.8).by("tokens"),
    )
    scheduler.step(tokens=50, samples=4)
    named = {group["name"]: group for group in optimizer.param_groups}
    assert {n: g["lr"] for n, g in named.items()} == pytest.approx({"default": 0.06, "head": 0.05})
    assert all(group["momentum"] == pytest.approx(0.85) for group in named.values())
    again = ScheduleLR(
        torch.optim.SGD(
            param_groups(model, {"head": linear(100).by("tokens")}, lr=0.1), momentum=0
        ),
        {"default": linear(10).by("samples")},
        momentum=linear(100, 0.9, 0.8).by("tokens"),
    )
    again.load_state_dict(through_a_file(scheduler.state_dict()))
    assert again.get_last_lr() == scheduler.get_last_lr()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_count_on(again: Any) -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    scheduler.step(tokens=10)
    other = again(scheduler)
    other.step(tokens=10)
    assert other.counts == {"tokens": 20}
    assert scheduler.counts == {"tokens": 10}
    assert rates(other.optimizer) == [0.1, 0.05]


def test_a_group_that_comes_later_and_tensor_rates() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=torch.tensor(0.1))
    scheduler = ScheduleLR(optimizer, linear(100).by("tokens"))
    scheduler.step(tokens=50)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(2))], "lr": 1.0})
    assert [float(rate) for rate in scheduler.get_last_lr()] == pytest.approx([0.05, 0.5])


def test_a_state_whose_counts_are_none() -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, SCHEDULE.by("tokens"))
    before = scheduler.state_dict()
    for counts in ([1], {"tokens": -1}, {"tokens": "many"}):
        with pytest.raises(ConfigError, match="count"):
            scheduler.load_state_dict(before | {"counts": counts})
        assert scheduler.state_dict() == before


def test_pytorchs_sequential_scheduler_counts_too() -> None:
    _, optimizer = make_optimizer()
    scheduler = ScheduleLR(optimizer, linear(100).by("tokens"), counts={"tokens": 0})
    whole = torch.optim.lr_scheduler.SequentialLR(
        optimizer, [ScheduleLR(optimizer, linear(4, 0.5, 0.5)), scheduler], milestones=[2]
    )
    for _ in range(3):
        optimizer.step()
        scheduler.count(tokens=10)
        whole.step()
    assert rates(optimizer)[0] == pytest.approx(0.07)


def test_explain_knows_the_counts_of_now_alone() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = ScheduleLR(optimizer, linear(100).by("tokens"))
    optimizer.step()
    scheduler.step(tokens=50)
    rows = len(list(model.parameters()))
    columns = explain(model, schedule=scheduler, steps=(0, 2)).to_dict()
    assert columns["rate @ 1"] == [0.25] * rows
    assert columns["rate @ 0"] == [0.5] * rows
    assert columns["rate @ 2"] == [None] * rows
    assert explain(model, schedule=scheduler, step=2).to_dict()["rate @ 2"] == [None] * rows
