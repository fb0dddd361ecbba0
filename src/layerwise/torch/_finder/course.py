"""The course of the training that an optimizer is going to have, read from its schedulers.

A scheduler of PyTorch is asked for its rates by letting a copy of it go on, beside the optimizer.
That is exact for every class, even one of the user's. Only the functions of ``LambdaLR`` are called
directly, since any step costs them the same.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as peer
from torch.optim.lr_scheduler import LRScheduler

from layerwise.errors import FinderError, ScheduleError
from layerwise.multipliers import Value, value_at
from layerwise.schedules import Schedule, counters_of, from_function
from layerwise.torch._groups.base_rate import base_of
from layerwise.torch._optimizer.attached_schedulers import (
    schedulers_on,
    steps_of_an_update,
    without_wrapper,
)
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet
from layerwise.torch._optimizer.other_schedulers import outermost_on, setting
from layerwise.torch._scheduler.schedule_lr import ScheduleLR

MOST_STEPS = 50_000
"""The most steps that a copy of a scheduler goes on for, which takes a second or two."""

_EARLY = 2  # a scheduler counts epochs if the training is longer by at least this factor


def course_of(
    optimizer: Optimizers | OptimizerSet,
    scheduler: object,
    shares: Sequence[float | None],
    horizon: int | None = None,
) -> Schedule | None:
    """How the rate goes from now on, by update, as a factor on the base rate.

    Of several groups the highest rate counts. For a scheduler that sets its own rates, such as
    ``OneCycleLR``, the base rate is the highest of them. Of several optimizers it is the course of
    the first one whose rate is searched, and of those that share its scheduler.

    Args:
        optimizer: The optimizer, or several.
        scheduler: The scheduler that the search was given; it may be in a wrapper, or None. Then
            those that are found on the optimizer count.
        shares: Each group's rate as a factor on the base rate; None for one that is held.
        horizon: The number of updates of the training to come, if it is known.

    Returns:
        The course; None if there is no scheduler, or its rates depend on the losses to come.
    """
    optimizers, given = OptimizerSet.of(optimizer), without_wrapper(scheduler)
    pairs = zip(optimizers.groups(), shares, strict=True)
    share_of = {id(group): share for group, share in pairs if share is not None}
    searched = next(
        each
        for each in optimizers.optimizers
        if any(id(group) in share_of for group in each.param_groups)
    )
    if isinstance(given, LRScheduler):
        found: list[LRScheduler] = [given]
        searched = getattr(given, "optimizer", searched)
    else:
        found = schedulers_on(searched)[-1:] or outermost_on(searched)
    if not found or any(isinstance(each, peer.ReduceLROnPlateau) for each in found):
        return None
    first, stride = found[0], steps_of_an_update(scheduler)
    name = "the optimizer's " + " and ".join(type(each).__name__ for each in found)
    if isinstance(first, ScheduleLR):
        values, groups = first.group_schedules(), first.optimizer_set.groups()
        return _of_values(first, *_searched(values, groups, share_of), stride, name)
    if len(found) == 1 and type(first) is peer.LambdaLR:
        lambdas, groups = first.lr_lambdas, searched.param_groups
        return _of_values(first, *_searched(lambdas, groups, share_of), stride, name)
    return _of_copies(searched, found, horizon, stride, name)


def _searched(
    values: Sequence[Value | None],
    groups: Sequence[Mapping[str, object]],
    share_of: Mapping[int, float],
) -> tuple[list[Value | None], list[float]]:
    """What the groups follow whose rates are searched, and their shares."""
    pairs = [
        (value, share_of[id(group)])
        for value, group in zip(values, groups, strict=True)
        if id(group) in share_of
    ]
    if not pairs:  # a scheduler of rates that are held
        return list(values), [1.0] * len(values)
    return [value for value, _ in pairs], [share for _, share in pairs]


def _of_values(
    scheduler: LRScheduler,
    values: Sequence[Value | None],
    shares: Sequence[float],
    stride: int,
    name: str,
) -> Schedule:
    """The course where each group has a schedule or function of the step, or None."""
    counting = next((value for value in values if counters_of([value])), None)
    if isinstance(counting, Schedule):
        return counting  # how much is in an update isn't known
    now, highest, only = scheduler.last_epoch, max(shares), values[0]
    alike = all(value is only for value in values)
    if alike and isinstance(only, Schedule):
        if now == 0 and stride == 1:
            return only
        name = f"the optimizer's {only!r}"

    @cache
    def factor(step: int) -> float:
        at = now + int(step) * stride
        return max(
            share * (1.0 if value is None else value_at(value, at, name, ScheduleError))
            for share, value in zip(shares, values, strict=True)
        ) / (highest or 1.0)

    return from_function(factor, name=name)


def _of_copies(
    optimizer: Optimizer,
    found: Sequence[LRScheduler],
    horizon: int | None,
    stride: int,
    name: str,
) -> Schedule:
    """The course that copies of some schedulers show when they go on."""
    ends = [_end_of(each) for each in found]
    left = None
    if None not in ends:
        pairs = zip(ends, found, strict=True)
        left = max(end - _inner([each])[-1].last_epoch for end, each in pairs if end is not None)
    if left is None and horizon is None:
        return from_function(_unknown_rate, name=name)
    steps = (horizon or 0) * stride if left is None else max(left, 1)
    if steps > MOST_STEPS:
        return from_function(
            _unknown_rate, name=f"{name}, which takes more than {MOST_STEPS} steps,"
        )
    factors = rates_of(optimizer, found, steps) / max(map(base_of, optimizer.param_groups))
    if setting(_inner(found)) and factors.max() > 0:
        factors /= factors.max()
    values = tuple(factors[::stride].tolist())
    last = len(values) - 1
    if left is None:
        return from_function(lambda step: values[min(int(step), last)], name=name)
    length = max(last, 1)
    if horizon is not None and _EARLY * length <= horizon and values[last] < max(values):
        # It arrives long before the training ends, so it must step once an epoch, not an update.
        ratio = length / horizon
        return from_function(lambda step: values[int(step * ratio)], name=name, length=horizon)
    return from_function(lambda step: values[int(step)], name=name, length=length)


def rates_of(
    optimizer: Optimizer, schedulers: Sequence[LRScheduler], steps: int
) -> npt.NDArray[np.float64]:
    """The highest rate of all groups, now and after each of the steps, shape ``(steps + 1,)``.

    Raises:
        FinderError: A scheduler can't be copied, or needs more than a step.
    """
    stand_in = SGD([torch.zeros(1)], lr=1.0)
    stand_in.param_groups = [
        {key: copy.deepcopy(value) for key, value in group.items() if key != "params"}
        | {"params": []}
        for group in optimizer.param_groups
    ]
    memo = {id(each.optimizer): stand_in for each in _inner(schedulers)}
    rates = []
    try:
        copies = copy.deepcopy(list(schedulers), memo)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch misses the optimizer's steps
            for _ in range(steps):
                rates.append(_highest(stand_in))
                for each in copies:
                    each.step()
    except Exception as error:
        names = " and ".join(type(each).__name__ for each in schedulers)
        raise FinderError(
            f"The rates of {names} can't be told beforehand ({error}): pass schedule=, the shape "
            "of the training."
        ) from error
    return np.array([*rates, _highest(stand_in)], np.float64)


def _highest(optimizer: Optimizer) -> float:
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _inner(schedulers: Sequence[LRScheduler]) -> list[LRScheduler]:
    """Some schedulers and all that are inside of them."""
    found = []
    for each in schedulers:
        found += [each, *_inner(getattr(each, "_schedulers", ()))]
    return found


def _end_of(scheduler: LRScheduler) -> int | None:
    """The step at which a scheduler has arrived; None if it has no end, or none that is known."""
    match scheduler:
        case peer.SequentialLR():
            last = _end_of(scheduler._schedulers[-1])
            return None if last is None else scheduler._milestones[-1] + last
        case peer.ChainedScheduler():
            ends = [_end_of(each) for each in scheduler._schedulers]
            return None if None in ends else max(end for end in ends if end is not None)
        case peer.CosineAnnealingLR():
            return int(scheduler.T_max)
        case peer.OneCycleLR():
            return int(scheduler.total_steps) - 1
        case peer.MultiStepLR():
            return int(max(scheduler.milestones, default=0))
        case peer.LinearLR() | peer.ConstantLR() | peer.PolynomialLR():
            return int(scheduler.total_iters)
    return None


def _unknown_rate(step: int) -> float:
    raise FinderError("its rates can't be told beforehand: pass schedule=.")
