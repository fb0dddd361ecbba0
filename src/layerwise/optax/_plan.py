"""The plan that rules make of a parameter tree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import PyTreeDef

from layerwise.errors import OptimizerError
from layerwise.multipliers import Layers, Parameter, Plan, RuleSpec, StepValue, first_value
from layerwise.optax._layer_order import levels_in_order
from layerwise.optax._parameters import has_variables, leaves_of
from layerwise.schedules import Schedule

_HINT = (
    "It is called with the step, an int32 scalar, as Optax calls a schedule, and must return a "
    "number."
)


def plan_of(
    spec: RuleSpec,
    tree: optax.Params,
    *,
    learning_rate: float | None = None,
    steps: Sequence[int] = (),
    step: int = 0,
) -> Plan:
    """The plan of a tree of parameters or updates, with a row for each of its leaves.

    Args:
        spec: The rules.
        tree: The tree, or one of the leaves' shapes.
        learning_rate: The base rate to show, or None.
        steps: The steps to show rates at, beside ``step``.
        step: The present step.

    Raises:
        OptimizerError: The tree has no leaves.
        MultiplierError: A rule, callable or strategy can't be honoured.
    """
    found = leaves_of(tree)
    if not found.leaves:
        raise OptimizerError(
            f"There are no parameters in this {type(tree).__name__}. Give the tree of arrays that "
            "is trained: variables['params'], nnx.state(model, nnx.Param), or "
            "eqx.filter(model, eqx.is_inexact_array)."
        )

    def order() -> Layers:
        return levels_in_order(found, attributes_sorted=has_variables(tree))

    return spec.resolve(
        [leaf.parameter() for leaf in found.leaves],
        order=order,
        # A rule for a leaf that is None here, frozen by Equinox for example, is not a dead rule.
        absent=[Parameter(name, trainable=False) for name in found.absent],
        learning_rate=learning_rate,
        steps=steps,
        step=step,
        prepare=_tried,
    )


@dataclass(frozen=True)
class PlanCache:
    """The plans of one set of rules, one for each structure of tree that was seen.

    A training step that is not compiled thus looks no name up twice.
    """

    spec: RuleSpec
    _known: dict[PyTreeDef, Plan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, tree: optax.Params) -> Plan:
        """The plan of a tree; see ``plan_of``."""
        structure = jax.tree.structure(tree)
        try:
            known = self._known.get(structure)
        except TypeError:  # a module class may hold something that can't be hashed
            return plan_of(self.spec, tree)
        if known is None:
            known = self._known[structure] = plan_of(self.spec, tree)
        return known


def _tried(value: StepValue, what: str) -> StepValue:
    """A schedule or callable that was computed once, before training."""
    with jax.ensure_compile_time_eval():  # ``init`` may be compiled; this is known all the same
        first_value(value, what, _at_step, _HINT)
    return value


def _at_step(value: StepValue, step: int) -> object:
    return float(value(step if isinstance(value, Schedule) else jnp.asarray(step, jnp.int32)))
