"""Each of PyTorch's optimizers under Layerwise's groups equals a run with groups made by hand."""

from typing import Any

import pytest
import torch

from layerwise import cosine, warmup
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import bits
from tests._support.torch.optimizers import (
    LAYERS,
    OPTIMIZERS,
    make_named,
    options_of,
    set_gradients,
)

MULTIPLIERS = {"low": 0.25, "middle": 1.0, "high": 2.0}
SCHEDULE = warmup(3, start=0.1) >> cosine(12)
STEPS = 12
IMPLEMENTATIONS = ("single", "foreach", "fused")


def test_all_of_them_are_here() -> None:
    assert len(OPTIMIZERS) >= 14
    assert {"Adam", "AdamW", "Muon", "SGD", "SparseAdam"} <= set(OPTIMIZERS)


def implementations(kind: Any) -> dict[str, dict[str, bool]]:
    known = kind.__init__.__code__.co_varnames
    found: dict[str, dict[str, bool]] = {"default": {}}
    for name in ("foreach", "fused"):
        if name in known:
            found[name] = {name: True}
    return found


CASES = [
    pytest.param(name, option, id=f"{name}-{label}")
    for name, kind in OPTIMIZERS.items()
    for label, option in implementations(kind).items()
]


def by_hand(kind: Any, named: dict[str, Any], options: dict[str, Any], step_count: int) -> Any:
    """Groups and rates written out: what people do today."""
    groups = [
        {"params": [p for n, p in named.items() if n.startswith(layer)], "lr": 0.01 * m}
        for layer, m in MULTIPLIERS.items()
    ]
    optimizer = kind(groups, **options)
    for step in range(step_count):
        for group, multiplier in zip(optimizer.param_groups, MULTIPLIERS.values(), strict=True):
            group["lr"] = 0.01 * multiplier * SCHEDULE(step)
        yield step, optimizer


@pytest.mark.parametrize(("name", "option"), CASES)
def test_equals_hand_made_groups(name: str, option: dict[str, bool]) -> None:
    kind, options = OPTIMIZERS[name], options_of(name) | option
    mine, theirs = make_named(name), make_named(name)
    start = bits(mine.values())

    optimizer = kind(param_groups(mine, MULTIPLIERS, lr=0.01), **options)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    for step in range(STEPS):
        set_gradients(name, mine, step)
        optimizer.step()
        scheduler.step()
    for step, other in by_hand(kind, theirs, options, STEPS):
        set_gradients(name, theirs, step)
        other.step()

    assert bits(mine.values()) == bits(theirs.values())
    assert all(one != before for one, before in zip(bits(mine.values()), start, strict=True))
    assert len(optimizer.param_groups) == len(LAYERS)


@pytest.mark.parametrize(("name", "option"), CASES)
def test_without_rules_and_schedule_it_is_the_plain_optimizer(
    name: str, option: dict[str, bool]
) -> None:
    kind, options = OPTIMIZERS[name], options_of(name) | option
    mine, theirs = make_named(name), make_named(name)
    pairs = [(mine, kind(param_groups(mine, lr=0.01), **options))]
    pairs.append((theirs, kind(list(theirs.values()), lr=0.01, **options)))
    scheduler = ScheduleLR(pairs[0][1])
    for step in range(4):
        for named, optimizer in pairs:
            set_gradients(name, named, step)
            optimizer.step()
        scheduler.step()
    assert bits(mine.values()) == bits(theirs.values())


def test_lbfgs_takes_one_group_and_a_closure() -> None:
    ends = []
    for scheduled in (True, False):
        named = make_named("LBFGS")
        parameters = list(named.values())

        def closure(parameters: Any = parameters) -> torch.Tensor:
            for parameter in parameters:
                parameter.grad = None
            loss = sum(((p - 1) ** 2 * (i + 1)).sum() for i, p in enumerate(parameters))
            loss.backward()
            return loss

        optimizer = torch.optim.LBFGS(param_groups(named, lr=0.5), max_iter=3)
        scheduler = ScheduleLR(optimizer, SCHEDULE) if scheduled else None
        for step in range(3):
            optimizer.param_groups[0]["lr"] = 0.5 * SCHEDULE(step)
            optimizer.step(closure)
            if scheduler is not None:
                scheduler.step()
        ends.append(bits(parameters))
    assert ends[0] == ends[1]
    assert ends[0] != bits(make_named("LBFGS").values())
