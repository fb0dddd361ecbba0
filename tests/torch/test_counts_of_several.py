"""Counts, decay rules, several optimizers and what metrics decide, all in one ``ScheduleLR``."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from layerwise import constant, cosine, linear, on_plateau, plateau, reduce_on_plateau
from layerwise.errors import FinderError, ScheduleError
from layerwise.torch import ScheduleLR, find_lr, find_rates, hidden_matrices, param_groups
from layerwise.torch._finder.course import course_of

BY_TOKENS = cosine(100, end=0.1).by("tokens")
X = torch.linspace(-1, 1, 32).reshape(8, 4)
SIZES = [3, 9, 1, 20, 4, 30, 2, 8]
LOSSES = [1.0, 2.0, 0.5, 2.0, 2.0, 2.0, 2.0, 0.1]


def make() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 2))
    hidden = hidden_matrices(model)
    rules: dict[str, Any] = {"1": on_plateau(plateau("loss", patience=1), [0.0, 0.5, 1.0])}
    decays: dict[str, Any] = {
        "0": linear(80, start=1.0, end=0.25).by("samples"),
        "2": reduce_on_plateau("loss", 0.5, 1),
    }
    options: dict[str, Any] = {"weight_decay": 0.1, "decay_rules": decays}
    muon = torch.optim.Muon(param_groups(model, rules, lr=0.02, only=hidden, **options))
    rest = param_groups(model, rules, lr=0.01, only=lambda n, _: n not in hidden, **options)
    return model, [muon, torch.optim.AdamW(rest)]


def scheduler_of(optimizers: list[torch.optim.Optimizer]) -> ScheduleLR:
    momentum = linear(100, start=0.9, end=0.5).by("tokens")
    factor = reduce_on_plateau("loss", 0.9, 1)
    return ScheduleLR(optimizers, BY_TOKENS, momentum=momentum, weight_decay_factor=factor)


def settings(optimizers: list[torch.optim.Optimizer]) -> list[tuple[float, ...]]:
    return [
        (group["lr"], group["weight_decay"], group.get("momentum", 0.0))
        for each in optimizers
        for group in each.param_groups
    ]


def train(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], scheduler: ScheduleLR, steps: range
) -> list[list[tuple[float, ...]]]:
    found = []
    for number in steps:
        for each in optimizers:
            each.zero_grad()
        model(X).square().mean().backward()
        for each in optimizers:
            each.step()
        scheduler.step(tokens=SIZES[number], samples=2 * SIZES[number])
        scheduler.report({"loss": LOSSES[number]})
        found.append(settings(optimizers))
    return found


def test_all_values_are_those_of_closed_forms() -> None:
    model, optimizers = make()
    found = train(model, optimizers, scheduler_of(optimizers), range(8))
    tokens, best, fired = 0, float("inf"), 0
    names = {id(tensor): name.split(".")[0] for name, tensor in model.named_parameters()}
    for number, values in enumerate(found):
        tokens += SIZES[number]
        fired, best = fired + (LOSSES[number] >= best), min(best, LOSSES[number])
        groups = [(o, g) for o in optimizers for g in o.param_groups]
        for (optimizer, group), (rate, decay, momentum) in zip(groups, values, strict=True):
            layer = names[id(group["params"][0])]
            muon = isinstance(optimizer, torch.optim.Muon)
            thawed = [0.0, 0.5, 1.0][min(fired, 2)] if layer == "1" else 1.0
            base = 0.02 if muon else 0.01
            assert rate == pytest.approx(base * cosine(100, end=0.1)(tokens) * thawed)
            own = {"0": linear(80, start=1.0, end=0.25)(2 * tokens), "2": 0.5**fired}
            assert decay == pytest.approx(0.1 * 0.9**fired * own.get(layer, 1.0))
            if muon:
                assert momentum == pytest.approx(linear(100, start=0.9, end=0.5)(tokens))
    assert fired > 2


@pytest.mark.parametrize("stop", [1, 3, 6])
@pytest.mark.parametrize("first", [0, 2])
def test_it_resumes_in_the_middle(stop: int, first: int) -> None:
    model, optimizers = make()
    scheduler = scheduler_of(optimizers)
    train(model, optimizers, scheduler, range(stop))
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (scheduler, *optimizers, model)], file)
    expected = train(model, optimizers, scheduler, range(stop, 8))
    file.seek(0)
    again, others = make()
    parts = [scheduler_of(others), *others, again]
    states = torch.load(file, weights_only=True)
    for place in range(4):
        parts[(place + first) % 4].load_state_dict(states[(place + first) % 4])
    assert train(again, others, parts[0], range(stop, 8)) == expected
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_or_a_report_that_fails_changes_nothing() -> None:
    model, optimizers = make()
    scheduler = scheduler_of(optimizers)
    train(model, optimizers, scheduler, range(2))
    before, counts = settings(optimizers), scheduler.counts
    states = dict(scheduler.decisions.states)
    with pytest.raises(ScheduleError, match="No schedule here counts 'words'"):
        scheduler.step(tokens=3, words=2)
    with pytest.raises(ScheduleError):
        scheduler.step(tokens=-1)
    with pytest.raises(ScheduleError):
        scheduler.report({"loss": "low"})  # type: ignore[dict-item]
    assert (settings(optimizers), scheduler.counts) == (before, counts)
    assert scheduler.decisions.states == states
    assert scheduler.last_epoch == 2


def test_what_one_of_several_counts_is_needed_by_all() -> None:
    _, optimizers = make()
    by_name = {"AdamW": constant(1.0).by("tokens"), "Muon": constant(0.5)}
    scheduler = ScheduleLR(optimizers, by_name)
    before = settings(optimizers)
    with pytest.raises(ScheduleError, match="and nobody has counted them"):
        scheduler.step()
    assert settings(optimizers) == before
    scheduler.step(tokens=1, samples=1)
    copied = copy.deepcopy(scheduler)
    assert copied.counts == {"tokens": 1, "samples": 1}
    copied.count(tokens=2)
    assert scheduler.counts == {"tokens": 1, "samples": 1}


def plain() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 2))
    first = torch.optim.SGD(model[0].parameters(), lr=0.1)
    return model, [first, torch.optim.Adam(model[1].parameters(), lr=0.01)]


def test_the_course_of_several_is_that_of_the_highest_searched_rate() -> None:
    _, optimizers = plain()
    one, two = cosine(40), linear(40)
    _scheduler = ScheduleLR(optimizers, {"SGD": one, "Adam": two})
    for shares, expected in (
        ([1.0, 0.1], lambda n: max(one(n), 0.1 * two(n))),
        ([1.0, None], one),
        ([None, 1.0], two),
    ):
        course = course_of(optimizers, None, shares)
        assert course is not None
        values = [course(step) for step in range(40)]
        assert values == pytest.approx([expected(step) for step in range(40)])


def test_the_course_of_one_scheduler_for_each_is_that_of_the_first_searched() -> None:
    _, optimizers = plain()
    schedulers = [
        LambdaLR(each, shape)
        for each, shape in zip(optimizers, (lambda n: 1 / (1 + n), lambda n: 0.5**n), strict=True)
    ]
    first, second = (course_of(optimizers, None, shares) for shares in ([1.0, 0.1], [None, 1.0]))
    given = course_of(optimizers, schedulers[1], [1.0, 0.1])
    assert first is not None
    assert second is not None
    assert given is not None
    assert (first(3), second(3), given(3)) == (1 / 4, 0.5**3, 0.5**3)


def test_find_lr_follows_the_shape_of_several_and_holds_rates() -> None:
    loss, batches = nn.functional.mse_loss, [(X, X[:, :2])] * 4
    answers = []
    for hold in (False, True):
        model, optimizers = plain()
        scheduler = ScheduleLR(optimizers, cosine(30))
        held = optimizers[1:] if hold else []
        before = settings(optimizers)
        found = find_lr(model, optimizers, loss, batches, hold=held, progress=False)
        assert found.schedule == repr(cosine(30))
        assert settings(optimizers) == before
        assert scheduler.last_epoch == 0
        answers.append(found.suggestion)
    assert None not in answers


def test_find_rates_refuses_several() -> None:
    model, optimizers = plain()
    with pytest.raises(FinderError, match="list is not a torch"):
        find_rates(model, optimizers, nn.functional.mse_loss, [(X, X[:, :2])])  # type: ignore[arg-type]
