"""By what each leaf's update is multiplied at one step, inside the compiled step."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from layerwise._unfolded import unfolded
from layerwise.multipliers import Plan, Value
from layerwise.optax._parameters import is_hidden


@dataclass(frozen=True)
class Factors:
    """The factors of all leaves at one step.

    Attributes:
        factor: What each leaf's update is multiplied by, one after the other; empty for 1.
        active: True: it trains; False: frozen for good; a boolean scalar: the step decides.
        table: The product for each leaf as one array, -1 for a leaf that is hidden from us.
    """

    factor: list[tuple[Any, ...]]
    active: list[Any]
    table: jax.Array


def factors_at(plan: Plan, count: Any) -> Factors:
    """Evaluate a plan at a step, each different value once."""
    values = [value for value, _ in plan.groups]
    own, common = _evaluated(values, plan.schedule, count)
    factor: list[tuple[Any, ...]] = [()] * len(plan.rows)
    active: list[Any] = [True] * len(plan.rows)
    place = np.zeros(len(plan.rows), np.int32)
    for number, ((value, rows), result) in enumerate(zip(plan.groups, own, strict=True)):
        for row in rows:
            place[row] = number
            factor[row] = tuple(each for each in (result, common) if not _settled(each))
            active[row] = value != 0.0 if isinstance(value, float) else result != 0
    table = jnp.stack([jnp.asarray(result, jnp.float32) for result in own])[place]
    table = table * jnp.asarray(common, jnp.float32)
    hidden = np.array([not row.parameter.trainable for row in plan.rows], bool)
    return Factors(factor, active, jnp.where(hidden, -1.0, table) if hidden.any() else table)


def scaled(update: Any, factor: Sequence[Any], active: Any) -> Any:
    """An update times its factor, in its own type; nothing at all where the leaf is frozen.

    Nothing is -0.0: adding it leaves every number as it is, and adding 0.0 would turn -0.0 around.
    """
    if is_hidden(update) or getattr(update, "dtype", None) == jax.dtypes.float0:
        return update
    update = jnp.asarray(update)
    if active is False:
        return jnp.full_like(update, -0.0)
    if not factor:
        return update
    # Half precision is multiplied in float32 and rounded once; a wider factor changes no type.
    wide = jnp.promote_types(update.real.dtype, jnp.float32)
    first, *rest = (jnp.asarray(number, wide) for number in factor)
    product = first * rest[0] if rest else first
    inner = jnp.promote_types(update.dtype, wide)
    result = (update.astype(inner) * product).astype(update.dtype)
    return result if active is True else jnp.where(active, result, jnp.full_like(update, -0.0))


def mask_gradient(gradient: Any, active: Any) -> Any:
    """The gradient, or zeros where the leaf is frozen at this step."""
    if isinstance(active, bool) or is_hidden(gradient):
        return gradient
    return jnp.where(active, gradient, jnp.zeros_like(gradient))


def _evaluated(
    values: Sequence[Value], schedule: Value | None, count: Any
) -> tuple[list[Any], Any]:
    """The values at a step and the schedule's; 0.0 and 1.0 stay what they are."""
    known = [*values, 1.0 if schedule is None else schedule]
    asked = [value for value in known if not _settled(value)]
    traced = isinstance(count, jax.core.Tracer)
    numbers = partial(_numbers, asked)
    results = iter(unfolded(jax, numbers, count) if traced else numbers(count))
    *own, common = (value if _settled(value) else next(results) for value in known)
    return own, common


def _numbers(values: Sequence[Value], count: Any) -> tuple[Any, ...]:
    return tuple(_scalar(value, count) for value in values)


def _scalar(value: Value, count: Any) -> jax.Array:
    result = jnp.asarray(
        value(count) if callable(value) else value, None if callable(value) else float
    )
    return result.astype(jnp.promote_types(result.dtype, jnp.float32))


def _settled(value: Any) -> bool:
    """Whether it is the number 0 or 1, with which nothing is multiplied."""
    return isinstance(value, float) and value in (0.0, 1.0)
