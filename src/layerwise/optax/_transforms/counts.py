"""What schedules count beside updates, out of the arguments of an update."""

from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp

from layerwise._checks import as_number, number
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.multipliers import Value
from layerwise.optax._plan import TreePlan
from layerwise.schedules import counters_of, counts_of_start

Counts: TypeAlias = Mapping[str, jax.Array]
"""What has been counted beside updates, by name."""


class MissingCountError(ScheduleError):
    """An update was not told what a schedule counts."""


def counts_in(
    found: TreePlan, extra_args: Mapping[str, object], common: Value | None = None
) -> Counts:
    """What a plan's schedules count beside updates, out of the arguments of an update.

    Args:
        found: The plan.
        extra_args: The arguments.
        common: One more value that may count something.

    Raises:
        MissingCountError: An argument is missing.
        ScheduleError: An argument is no number.
    """
    values = (value for value, _ in found.plan.groups)
    names = counters_of([*values, found.plan.schedule, common])
    missing = [name for name in names if name not in extra_args]
    if missing:
        arguments = ", ".join(f"{name}=seen" for name in missing)
        raise MissingCountError(
            f"The schedules count {' and '.join(missing)}, and updates can't stand for that. Give "
            "the count of all updates before this one: "
            f"optimizer.update(grads, state, params, {arguments})."
        )
    return {name: _count(extra_args[name], name) for name in names}


def counts_before_all(found: TreePlan) -> Counts:
    """What a plan's schedules count before the first update: nothing of it."""
    start = counts_of_start([*(value for value, _ in found.plan.groups), found.plan.schedule])
    return {name: jnp.asarray(number, jnp.int32) for name, number in start.items()}


def _count(value: object, name: str) -> jax.Array:
    known = as_number(value)
    if known is not None:
        known = number(value, f"The count of {name}", ScheduleError)
        whole = known == int(known) and known < 2**31
        return jnp.asarray(int(known), jnp.int32) if whole else jnp.asarray(known, float)
    if not isinstance(value, jax.Array) or value.shape != () or value.dtype == bool:
        raise ScheduleError(f"The count of {name} must be a number, got {shown(value)}.")
    return value
