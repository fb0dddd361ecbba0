"""The base rate of an optimizer, and what each of its groups has of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._scheduler.group_rates import base_of
from layerwise.torch._scheduler.group_schedules import names_of
from layerwise.torch._scheduler.hyperparameters import value_at, write

KEY = "base_lr"
"""Under which a group of ``param_groups`` keeps the rate that its multiplier is a factor on."""


def group_factors(optimizer: Optimizer, step: int = 0) -> list[float]:
    """What each group's rate is divided by the base rate, before any schedule.

    A group's own rate is its ``initial_lr`` if a schedule has left it one, else its ``lr``. The
    base is the ``lr`` that ``param_groups`` was given; of other groups the optimizer's own
    ``lr`` if a group has that, and else the highest.

    Args:
        optimizer: The optimizer.
        step: The step at which multipliers that move are looked at.

    Raises:
        FinderError: There are no rates to set.
    """
    groups = optimizer.param_groups
    kind = type(optimizer).__name__
    if any("lr" not in group for group in groups):
        raise FinderError(
            f"{kind} has no 'lr' in its parameter groups, so that there is no rate to search. "
            "Search with an optimizer that has one."
        )
    base = _base(optimizer)
    if not base > 0:
        raise FinderError(
            f"All groups of {kind} have the rate 0, so that their ratio to a base rate isn't "
            "known: make the optimizer with the rates that the groups are to have beside each "
            "other, or with lr=1.0."
        )
    factors = []
    for group, name in zip(groups, names_of(optimizer), strict=True):
        own = stored_multiplier.get(group, name)
        moving = 1.0 if own is None else value_at(own, step, f"the multiplier of {name!r}")
        factors.append(base_of(group) / base * moving)
    return factors


def set_rates(optimizer: Optimizer, base: float, factors: list[float]) -> None:
    """Set every group's rate to its part of a base rate; a tensor is filled in place."""
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        write(group, "lr", base * factor)


def named_factors(optimizer: Optimizer, factors: list[float]) -> Mapping[str, float]:
    """The factors by the names of the groups."""
    return dict(zip(unique_names(optimizer), factors, strict=True))


def unique_names(optimizer: Optimizer) -> tuple[str, ...]:
    """The names of the groups, numbered where several have one."""
    found: list[str] = []
    for name in names_of(optimizer):
        place, unique = 2, name
        while unique in found:
            unique, place = f"{name} ({place})", place + 1
        found.append(unique)
    return tuple(found)


def base_rate(optimizer: Optimizer, rates: Sequence[Any]) -> Any:
    """The base rate behind the groups' rates; None where they don't follow one together.

    Args:
        optimizer: The optimizer.
        rates: The rate of each group at a moment.
    """
    if any(isinstance(rate, Tensor) and rate.device.type != "cpu" for rate in rates):
        return None  # to compare them would be to wait for the device
    if len(rates) == 1 and KEY not in optimizer.param_groups[0]:
        return rates[0]
    base = _base(optimizer)
    found = [
        float(rate) * base / base_of(group)
        for rate, group in zip(rates, optimizer.param_groups, strict=True)
        if stored_multiplier.KEY not in group and base_of(group) > 0
    ]
    if not found or max(found) - min(found) > 1e-6 * max(found):
        return None
    return found[0]


def _base(optimizer: Any) -> float:
    groups = optimizer.param_groups
    known = {float(group[KEY]) for group in groups if KEY in group}
    if len(known) == 1 and all(KEY in group for group in groups):
        return known.pop()
    rates = [base_of(group) for group in groups]
    default = optimizer.defaults.get("lr")
    if default is not None and float(default) in rates:
        return float(default)
    return max(rates, default=0.0)
