"""The factor that each leaf's update is multiplied by at one step, inside the compiled step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from layerwise._unfolded import unfolded
from layerwise.multipliers import Value
from layerwise.optax._arrays import ArrayMultiplier
from layerwise.optax._parameters import Leaf, is_hidden
from layerwise.optax._plan import TreePlan
from layerwise.optax._transforms.counts import Counts
from layerwise.schedules import Schedule, values_together

Active: TypeAlias = bool | npt.NDArray[np.bool_] | jax.Array
"""True: the leaf trains. False: it is frozen for good. An array: the step decides, or it is a part
of the leaf that trains; it broadcasts against the leaf."""

Array: TypeAlias = jax.Array | optax.MaskedNode
Number: TypeAlias = float | jax.Array


@dataclass(frozen=True)
class Factors:
    """The factors of all leaves at one step.

    Attributes:
        factor: What each leaf's update is multiplied by, one after the other. Each is a number, or
            an array that broadcasts against the leaf.
        active: Whether each leaf trains.
        table: The whole factor of each row of the plan as one array; -1 for a leaf that is hidden
            from us. Of an array it is the largest.
    """

    factor: list[tuple[Number, ...]]
    active: list[Active]
    table: jax.Array


def factors_at(found: TreePlan, count: jax.Array, counts: Counts) -> Factors:
    """Evaluate a plan at a step, each different value once.

    Args:
        found: The plan.
        count: The step: updates applied so far.
        counts: What else has been counted, by name.
    """
    plan = found.plan
    values = [value for value, _ in plan.groups]
    results, common = _evaluated(values, plan.schedule, count, counts)
    group_of = np.zeros(len(plan.rows), np.int32)
    for number, (_, rows) in enumerate(plan.groups):
        group_of[list(rows)] = number
    numbers = jnp.stack([jnp.asarray(_largest(each)) for each in results])
    active_of = [
        _active(value, result, may)
        for value, result, may in zip(values, results, found.may_freeze, strict=True)
    ]
    factor: list[tuple[Number, ...]] = []
    active: list[Active] = []
    for leaf, rows in zip(found.leaves, found.rows, strict=True):
        groups = group_of[list(rows)]
        if len(set(groups)) == 1:
            own = results[groups[0]]
            moves = active_of[groups[0]]
        else:
            own = along(leaf, numbers[groups])
            freezes = any(found.may_freeze[group] for group in groups)
            moves = not freezes or _any_active(leaf, [values[group] for group in groups], own)
        factor.append(tuple(each for each in (own, common) if not _settled(each)))
        active.append(moves)
    table = numbers.astype(jnp.float32)[group_of] * jnp.asarray(common, jnp.float32)
    hidden = np.array([not row.parameter.trainable for row in plan.rows], bool)
    return Factors(factor, active, jnp.where(hidden, -1.0, table) if hidden.any() else table)


def numbers_at(found: TreePlan, common: Value, count: jax.Array, counts: Counts) -> list[Number]:
    """The multiplier of each leaf times a common number, each different value evaluated once.

    Args:
        found: The plan.
        common: The number, or what gives it at a step.
        count: The step.
        counts: What else has been counted, by name.

    Returns:
        For each leaf a Python float where neither of both moves, or else an array that broadcasts
        against the leaf.
    """
    plan = found.plan
    values = [value for value, _ in plan.groups]
    moving = common if callable(common) else None
    results, now = _evaluated(values, moving, count, counts)
    whole = now if moving is not None else float(common)  # type: ignore[arg-type]
    numbers = [
        (value if isinstance(value, float) else result) * whole
        for value, result in zip(values, results, strict=True)
    ]
    group_of = {row: number for number, (_, rows) in enumerate(plan.groups) for row in rows}
    each: list[Number] = []
    for leaf, rows in zip(found.leaves, found.rows, strict=True):
        groups = [group_of[row] for row in rows]
        if len(set(groups)) == 1:
            each.append(numbers[groups[0]])
        else:
            each.append(along(leaf, jnp.stack([jnp.asarray(numbers[group]) for group in groups])))
    return each


def _active(value: Value, result: Number, may_freeze: bool) -> Active:
    if isinstance(value, ArrayMultiplier):
        moves: npt.NDArray[np.bool_] = value.values != 0
        return moves if moves.any() and not moves.all() else bool(moves.all())
    if not may_freeze:
        return True
    return value != 0.0 if isinstance(value, float) else jnp.asarray(result) != 0


def _any_active(leaf: Leaf, values: Sequence[Value], numbers: jax.Array) -> Active:
    """Which of the layers that are stacked in a leaf train."""
    if not all(isinstance(value, float) for value in values):
        return numbers != 0
    moves = np.array([value != 0.0 for value in values])
    if moves.all():
        return True
    stack = leaf.stack
    assert stack is not None
    return moves.reshape([-1 if i == stack.axis else 1 for i in range(len(leaf.shape))])


def along(leaf: Leaf, numbers: jax.Array) -> jax.Array:
    """One number for each stacked layer, as an array that broadcasts against the leaf."""
    stack = leaf.stack
    assert stack is not None
    return numbers.reshape([-1 if i == stack.axis else 1 for i in range(len(leaf.shape))])


def _largest(result: Number) -> Number:
    return jnp.max(result) if jnp.ndim(result) else result


def scaled(
    update: Array, factor: Sequence[Number], active: Active, shape: tuple[int, ...]
) -> Array:
    """An update times its factor, in its own type.

    A frozen update is -0.0, the one float whose addition changes no bit: adding 0.0 would turn a
    weight of -0.0 into 0.0. It has the shape of the parameter, whatever the gradient's is.
    """
    if is_hidden(update) or getattr(update, "dtype", None) == jax.dtypes.float0:
        return update
    update = jnp.asarray(update)
    if active is False:
        return jnp.full_like(update, -0.0, shape=shape)
    if not factor:
        result = update
    else:
        # Half precision is multiplied in float32 and rounded once; a wider factor changes no type.
        wide = jnp.promote_types(update.real.dtype, jnp.float32)
        first, *rest = (jnp.asarray(number, wide) for number in factor)
        product = first * rest[0] if rest else first
        inner = jnp.promote_types(update.dtype, wide)
        result = (update.astype(inner) * product).astype(update.dtype)
    return result if active is True else jnp.where(active, result, jnp.full_like(update, -0.0))


def scaled_updates(
    updates: Sequence[Array],
    factors: Sequence[Sequence[Number]],
    active: Sequence[Active],
    leaves: Sequence[Leaf],
) -> list[Array]:
    """The update of each leaf times its factors; see ``scaled``."""
    return [
        scaled(update, factor, moves, leaf.shape)
        for update, factor, moves, leaf in zip(updates, factors, active, leaves, strict=True)
    ]


def mask_gradient(gradient: Array, active: Active) -> Array:
    """The gradient, or zeros where the leaf is frozen at this step."""
    if isinstance(active, bool) or is_hidden(gradient):
        return gradient
    return jnp.where(active, gradient, jnp.zeros_like(gradient))


def _evaluated(
    values: Sequence[Value], schedule: Value | None, count: jax.Array, counts: Counts
) -> tuple[list[Number], Number]:
    """The values at a step and the schedule's; 0.0 and 1.0 stay Python numbers."""
    known = [*values, 1.0 if schedule is None else schedule]
    asked = [value for value in known if not _settled(value)]

    names = list(counts)

    def compute(count: jax.Array, *counted: jax.Array) -> tuple[jax.Array, ...]:
        counts = dict(zip(names, counted, strict=True))
        schedules = [value for value in asked if isinstance(value, Schedule)]
        together = iter(values_together(schedules, count, **counts))
        return tuple(
            next(together) if isinstance(value, Schedule) else _computed(value, count)
            for value in asked
        )

    given = count, *counts.values()
    traced = any(isinstance(each, jax.core.Tracer) for each in given)
    results = iter(unfolded(jax, compute, *given) if traced else compute(*given))
    *multipliers, common = (
        value if isinstance(value, float) and _settled(value) else next(results) for value in known
    )
    return multipliers, common


def _computed(value: Value, count: jax.Array) -> jax.Array:
    if isinstance(value, ArrayMultiplier):
        return jnp.asarray(value.values, float)
    result = jnp.asarray(value(count)) if callable(value) else jnp.asarray(value, float)
    return result.astype(jnp.promote_types(result.dtype, jnp.float32))


def _settled(value: object) -> bool:
    """Whether it is the number 0 or 1, which needs no multiplication."""
    return isinstance(value, float) and value in (0.0, 1.0)
