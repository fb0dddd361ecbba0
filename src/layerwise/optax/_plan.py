"""What a transformation is given, checked, and the plan that it makes of a tree."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from layerwise.errors import MultiplierError, OptimizerError, ScheduleError
from layerwise.multipliers import Layers, Parameter, Plan, Rules, Value, resolve
from layerwise.optax._layer_order import levels_in_order, needs_order
from layerwise.optax._parameters import Leaves, has_variables, leaves_of
from layerwise.schedules import Schedule


@dataclass(frozen=True)
class Spec:
    """Rules, a schedule and how the rules match; checked when made.

    Raises:
        MultiplierError: A value, rule, level or match mode that can't be honoured.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.
    """

    rules: Rules | None
    schedule: Schedule | Callable[[Any], Any] | None = None
    match: str = "prefix"
    strict: bool = True
    layers: Layers | None = None
    _plans: dict[Any, Plan] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        resolve((), self.rules, match=self.match, strict=False, layers=self.layers)
        if self.schedule is not None and not callable(self.schedule):
            raise ScheduleError(
                f"schedule={self.schedule!r} is neither a schedule nor a callable of the step; a "
                "constant factor is layerwise.constant(...)."
            )

    def plan(self, tree: Any) -> Plan:
        """The plan of a tree of parameters or updates, a row for each of its leaves.

        Every callable is tried once. A plan is made once for each structure, so that a training
        step that is not compiled does not look all names up again.

        Raises:
            OptimizerError: The tree has no leaves.
            MultiplierError: A rule, callable or strategy can't be honoured.
        """
        structure = jax.tree.structure(tree)
        try:
            known = self._plans.get(structure)
        except TypeError:  # a module class may hold what has no hash
            return self._resolve(tree)
        if known is None:
            known = self._plans[structure] = self._resolve(tree)
        return known

    def _resolve(self, tree: Any) -> Plan:
        found = leaves_of(tree)
        if not found.leaves:
            raise OptimizerError(
                f"there are no parameters in this {type(tree).__name__}. Give the tree of arrays "
                "that is trained: variables['params'], nnx.state(model, nnx.Param), "
                "eqx.filter(model, eqx.is_inexact_array)."
            )
        plan = self._resolve_leaves(found, tree)
        for row in plan.rows:
            _check_first(row.value, f"the multiplier of {row.rule or row.parameter.name!r}")
        if plan.schedule is not None:
            _check_first(plan.schedule, "schedule")
        return plan

    def _resolve_leaves(self, found: Leaves, tree: Any) -> Plan:
        layers = self.layers
        if layers is None and needs_order(self.rules):
            layers = levels_in_order(found, attributes_sorted=has_variables(tree))
        parameters = [leaf.parameter() for leaf in found.leaves]
        if self.strict and found.absent:
            # A rule for what is None here, frozen by Equinox for example, is not a dead rule.
            absent = [Parameter(name, trainable=False) for name in found.absent]
            resolve(parameters + absent, self.rules, match=self.match, layers=layers)
        return resolve(
            parameters,
            self.rules,
            match=self.match,
            strict=self.strict and not found.absent,
            layers=layers,
            schedule=self.schedule,
        )


def _check_first(value: Value, place: str) -> None:
    """Evaluate what moves once, before training, where an error can still be read."""
    if isinstance(value, float | int):
        return
    try:
        with jax.ensure_compile_time_eval():  # init may be compiled; this is known all the same
            step = 0 if isinstance(value, Schedule) else jnp.zeros((), jnp.int32)
            first = float(value(step))
    except Exception as error:
        raise MultiplierError(
            f"{place} failed at step 0: {error}. It is called with the step, an int32 scalar, as "
            "Optax calls a schedule, and returns a number."
        ) from error
    if not (math.isfinite(first) and first >= 0):
        raise MultiplierError(f"{place} is {first} at step 0; it has to be finite and >= 0.")
