"""The rates of an optimizer's groups, and the base rate that they are multiples of."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import FinderError, OptimizerError, ScheduleError
from layerwise.multipliers import Value, distinct, value_at
from layerwise.torch._groups.stored_multiplier import KEY as MULTIPLIER
from layerwise.torch._groups.stored_multiplier import read_multiplier

BASE = "base_lr"
"""Where a group of ``param_groups`` keeps the rate that its multiplier is a factor on."""

FACTOR = "lr_factor"
"""Where it keeps that factor, which no scheduler rewrites; 1 where the multiplier moves."""

BASE_DECAY = "initial_weight_decay"
"""Where a group keeps the weight decay that a factor is applied to."""

Setting: TypeAlias = float | Tensor | tuple[float | Tensor, ...]
"""What a hyperparameter may be set to."""


def names_of(optimizer: Optimizer) -> list[str]:
    """The names of an optimizer's groups; one without a name is called by its place."""
    return group_names(optimizer.param_groups)


def group_names(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of groups; one without a name is called by its place."""
    return [str(group.get("name", f"group {place}")) for place, group in enumerate(groups)]


def base_of(group: Mapping[str, Any]) -> float:
    """A group's base rate: its ``initial_lr`` once it has been scheduled, its ``lr`` before.

    Raises:
        OptimizerError: It has none.
    """
    rate = group["initial_lr"] if "initial_lr" in group else group.get("lr")
    if rate is None:
        name = f" {group['name']!r}" if "name" in group else ""
        raise OptimizerError(
            f"The group{name} has no rate: its lr is None, as of an optimizer that makes its own "
            "rate (Adafactor with relative_step=True). Make the optimizer with a rate; Adafactor "
            "with lr=1e-3, relative_step=False, scale_parameter=False and warmup_init=False."
        )
    return float(rate)


def base_decay_of(group: Mapping[str, Any]) -> float:
    """A group's weight decay before any factor, a number also where the decay is a tensor."""
    return float(group[BASE_DECAY] if BASE_DECAY in group else group["weight_decay"])


def has_rates(optimizer: Optimizer) -> bool:
    """Whether any group has a rate; an optimizer that makes its own leaves ``lr`` at None."""
    groups = optimizer.param_groups
    return any(group.get("lr") is not None or "initial_lr" in group for group in groups)


def write(group: MutableMapping[str, Any], key: str, value: Setting) -> None:
    """Set a hyperparameter; a tensor is filled in place, so that a compiled step sees it."""
    old = group.get(key)
    if type(old) is float:  # the usual case, checked first for speed
        group[key] = value
    elif isinstance(old, Tensor) and not isinstance(value, tuple):
        old.fill_(value)
    elif isinstance(old, tuple) and isinstance(value, tuple) and any(map(torch.is_tensor, old)):
        for item, new in zip(old, value, strict=True):
            if isinstance(item, Tensor) and item is not new:
                item.fill_(new)
    else:
        group[key] = value


def group_factors(
    optimizer: Optimizer,
    step: int = 0,
    base: float | None = None,
    *,
    counts: Mapping[str, float] | None = None,
    apply: Callable[[Value], Value] = lambda value: value,
) -> dict[str, float]:
    """The factor of each group's rate on the base rate, by group name, without a schedule.

    A group's rate is its ``initial_lr`` if a scheduler has given it one, else its ``lr``. The
    base is the ``lr`` that ``param_groups`` was given, or what a scheduler or a hand has made of
    it for all its groups alike. Without such groups it is the optimizer's default ``lr`` if a group
    has that, and else the highest rate.

    Args:
        optimizer: The optimizer.
        step: The step at which multipliers that move are evaluated.
        base: The base rate, if it is that of another optimizer.
        counts: What has been counted by then beside updates.
        apply: Gets each multiplier and returns it as it is now, after what metrics decided.

    Raises:
        FinderError: There are no rates to set.
    """
    groups, names = optimizer.param_groups, names_of(optimizer)
    kind = type(optimizer).__name__
    if any("lr" not in group for group in groups):
        raise FinderError(
            f"{kind} has no 'lr' in its parameter groups, so that there is no rate to search. "
            "Search with an optimizer that has one."
        )
    try:
        own = base_of_optimizer(optimizer)
    except OptimizerError as error:
        raise FinderError(f"{error} There is no rate to search otherwise.") from None
    if not own > 0:
        raise FinderError(
            f"All groups of {kind} have the rate 0, so that their ratio to a base rate isn't "
            "known. Make the optimizer with rates in the ratio that the groups are to have, or "
            "with lr=1.0."
        )
    factors = []
    for group, name in zip(groups, names, strict=True):
        multiplier = read_multiplier(group, name)
        factor = 1.0
        if multiplier is not None:
            what = f"The multiplier of {name!r}"
            factor = value_at(apply(multiplier), step, what, ScheduleError, counts)
        factors.append(base_of(group) / (own if base is None else base) * factor)
    return dict(zip(distinct(names), factors, strict=True))


def base_rate(
    optimizer: Optimizer, rates: Sequence[float | Tensor | None]
) -> float | Tensor | None:
    """The base rate behind the groups' rates, or None if they don't follow one together.

    Args:
        optimizer: The optimizer.
        rates: The rate that each group had. Groups that were added since are left out.
    """
    if any(isinstance(rate, Tensor) and rate.device.type != "cpu" for rate in rates):
        return None  # comparing them would make the host wait for the device
    known = [rate for rate in rates if rate is not None]
    if len(known) < len(rates):
        return None  # the optimizer makes its own
    if len(rates) == 1 and BASE not in optimizer.param_groups[0]:
        return known[0]
    factors = _factors_of(optimizer)
    return _common(
        float(rate) / factor
        for rate, group, factor in zip(known, optimizer.param_groups, factors, strict=False)
        if MULTIPLIER not in group and factor > 0
    )


def base_of_optimizer(optimizer: Optimizer) -> float:
    """The base rate of an optimizer: that of ``param_groups``, its default, or its highest."""
    groups = optimizer.param_groups
    # OneCycleLR rewrites initial_lr, and a hand may have halved every rate.
    rewritten = _common(base_of(group) / group[FACTOR] for group in groups if group.get(FACTOR))
    if rewritten:
        return rewritten
    known = {float(group[BASE]) for group in groups if BASE in group}
    if len(known) == 1:
        return known.pop()
    rates = [base_of(group) for group in groups]
    default = optimizer.defaults.get("lr")
    if default is not None and float(default) in rates:
        return float(default)
    return max(rates, default=0.0)


def _factors_of(optimizer: Optimizer) -> list[float]:
    """Each group's factor on the base rate: the one that it keeps, or that of its base rate."""
    groups = optimizer.param_groups
    if all(FACTOR in group for group in groups):
        return [float(group[FACTOR]) for group in groups]
    base = base_of_optimizer(optimizer)
    return [base_of(group) / base if base else 0.0 for group in groups]


def _common(found: Iterable[float]) -> float | None:
    """The number that all of these are up to rounding, or None."""
    each = list(found)
    return each[0] if each and max(each) - min(each) <= 1e-6 * max(each) else None
