"""The factor that each leaf's update is multiplied by at one step, inside the compiled step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax

from layerwise._unfolded import unfolded
from layerwise.multipliers import Plan, Value
from layerwise.optax._parameters import is_hidden

Active: TypeAlias = bool | jax.Array
"""True: the leaf trains. False: it is frozen for good. A boolean scalar: the step decides."""

Leaf: TypeAlias = jax.Array | optax.MaskedNode
Number: TypeAlias = float | jax.Array


@dataclass(frozen=True)
class Factors:
    """The factors of all leaves at one step.

    Attributes:
        factor: The numbers that each leaf's update is multiplied by, one after the other.
        active: Whether each leaf trains.
        table: Each leaf's whole factor as one array; -1 for a leaf that is hidden from us.
    """

    factor: list[tuple[Number, ...]]
    active: list[Active]
    table: jax.Array


def factors_at(plan: Plan, count: jax.Array) -> Factors:
    """Evaluate a plan at a step, each different value once."""
    values = [value for value, _ in plan.groups]
    multipliers, common = _evaluated(values, plan.schedule, count)
    factor: list[tuple[Number, ...]] = [()] * len(plan.rows)
    active: list[Active] = [True] * len(plan.rows)
    place = np.zeros(len(plan.rows), np.int32)
    for number, ((value, rows), result) in enumerate(zip(plan.groups, multipliers, strict=True)):
        for row in rows:
            place[row] = number
            factor[row] = tuple(each for each in (result, common) if not _settled(each))
            active[row] = value != 0.0 if isinstance(value, float) else jnp.asarray(result) != 0
    table = jnp.stack([jnp.asarray(result, jnp.float32) for result in multipliers])[place]
    table = table * jnp.asarray(common, jnp.float32)
    hidden = np.array([not row.parameter.trainable for row in plan.rows], bool)
    return Factors(factor, active, jnp.where(hidden, -1.0, table) if hidden.any() else table)


def scaled(update: Leaf, factor: Sequence[Number], active: Active) -> Leaf:
    """An update times its factor, in its own type.

    A frozen update is -0.0, the one float whose addition changes no bit: adding 0.0 would turn a
    weight of -0.0 into 0.0.
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


def mask_gradient(gradient: Leaf, active: Active) -> Leaf:
    """The gradient, or zeros where the leaf is frozen at this step."""
    if isinstance(active, bool) or is_hidden(gradient):
        return gradient
    return jnp.where(active, gradient, jnp.zeros_like(gradient))


def _evaluated(
    values: Sequence[Value], schedule: Value | None, count: jax.Array
) -> tuple[list[Number], Number]:
    """The values at a step and the schedule's; 0.0 and 1.0 stay Python numbers."""
    known = [*values, 1.0 if schedule is None else schedule]
    asked = [value for value in known if not _settled(value)]

    def compute(count: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(_scalar(value, count) for value in asked)

    traced = isinstance(count, jax.core.Tracer)
    results = iter(unfolded(jax, compute, count) if traced else compute(count))
    *multipliers, common = (
        value if isinstance(value, float) and _settled(value) else next(results) for value in known
    )
    return multipliers, common


def _scalar(value: Value, count: jax.Array) -> jax.Array:
    result = jnp.asarray(value(count)) if callable(value) else jnp.asarray(value, float)
    return result.astype(jnp.promote_types(result.dtype, jnp.float32))


def _settled(value: object) -> bool:
    """Whether it is the number 0 or 1, which needs no multiplication."""
    return isinstance(value, float) and value in (0.0, 1.0)
