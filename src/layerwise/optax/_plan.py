"""The plan that rules make of a parameter tree."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from layerwise.errors import MultiplierError, OptimizerError
from layerwise.multipliers import (
    Layers,
    ModelFacts,
    Parameter,
    Plan,
    PlanRow,
    RuleSpec,
    StepValue,
    first_value,
    may_be_0,
)
from layerwise.optax._arrays import ArrayMultiplier
from layerwise.optax._hidden import Hidden
from layerwise.optax._layer_order import levels_in_order
from layerwise.optax._model_facts import facts_of
from layerwise.optax._parameters import Leaf, Leaves, has_variables, leaves_of, structure_of
from layerwise.optax._stacks import stacked, wanted_stacks
from layerwise.schedules import Schedule, counts_of_start, plateaus_in

_HINT = (
    "It is called with the step, an int32 scalar, as Optax calls a schedule, and must return a "
    "number."
)

Shapes: TypeAlias = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TreePlan:
    """A plan and the leaves that it is for.

    Attributes:
        plan: The plan. It has a row for each leaf, and one for each layer of a stack.
        leaves: The leaves in JAX's own order.
    """

    plan: Plan
    leaves: tuple[Leaf, ...]

    @cached_property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The places of each leaf's rows in the plan."""
        places = iter(range(len(self.plan.rows)))
        return tuple(tuple(next(places) for _ in leaf.paths) for leaf in self.leaves)

    @cached_property
    def trained(self) -> tuple[bool, ...]:
        """Whether each leaf is trained at all: a multiplier of it is not the number 0."""
        values = [[self.plan.rows[place].value for place in rows] for rows in self.rows]
        return tuple(any(not _is_nothing(value) for value in each) for each in values)

    @cached_property
    def may_freeze(self) -> tuple[bool, ...]:
        """Of each group of the plan, whether its multiplier may be 0 at some step."""
        return tuple(may_be_0(value) for value, _ in self.plan.groups)

    @cached_property
    def scales(self) -> bool:
        """Whether any multiplier is, or may become, another number than 0 and 1."""
        values = [value for value, _ in self.plan.groups]
        return self.plan.schedule is not None or any(value not in (0.0, 1.0) for value in values)

    @cached_property
    def layout(self) -> npt.NDArray[np.int32]:
        """How the plan's rows lie in the tree, for ``learning_rates``: a row for each leaf.

        ``(rows of the plan, depth at which layers are numbered)``: a depth of -1 where no layers
        are stacked; no rows for a hidden leaf, with the depth of its place in the tree.
        """
        layout = [
            (0, len(leaf.path))
            if leaf.hidden
            else (len(leaf.paths), -1 if leaf.stack is None else leaf.stack.depth)
            for leaf in self.leaves
        ]
        return np.asarray(layout, np.int32)


def plan_of(
    spec: RuleSpec,
    tree: optax.Params,
    *,
    learning_rate: float | None = None,
    steps: Sequence[int] = (),
    step: int = 0,
    model: ModelFacts | None = None,
) -> TreePlan:
    """The plan of a tree of parameters or updates.

    Args:
        spec: The rules.
        tree: The tree, or one of the leaves' shapes.
        learning_rate: The base rate to show, or None.
        steps: The steps to show rates at, beside ``step``.
        step: The present step.
        model: What else is known of the model and its optimizer.

    Raises:
        OptimizerError: The tree has no leaves, or one that can't be trained.
        MultiplierError: A rule, callable or strategy can't be honoured.
    """
    known = leaves_of(tree)
    if not known.leaves:
        raise OptimizerError(
            f"There are no parameters in this {type(tree).__name__}. Give the tree of arrays that "
            "is trained: variables['params'], nnx.state(model, nnx.Param), or "
            "eqx.filter(model, eqx.is_inexact_array)."
        )
    leaves = known.leaves
    notes: tuple[str, ...] = ()
    if spec.strategies:  # nobody else counts layers
        leaves, notes = stacked(leaves, wanted_stacks(spec.strategies), spec.strict)
    found, hidden = Leaves(leaves, known.absent), Hidden(leaves)
    attributes_sorted = has_variables(tree)

    def order() -> Layers:
        hidden.check_depth(found, attributes_sorted)
        return levels_in_order(found, attributes_sorted)

    groups = [
        hidden.parameters(leaf, spec) if leaf.hidden else leaf.parameters() for leaf in leaves
    ]
    plan = hidden.loosened(spec).resolve(
        [parameter for group in groups for parameter in group],
        order=order,
        # A rule for a leaf that is None here, frozen by Equinox for example, is not a dead rule.
        absent=[
            *(Parameter(name, trainable=False) for name in found.absent),
            *hidden.absent(spec),
        ],
        learning_rate=learning_rate,
        steps=steps,
        step=step,
        prepare=tried,
        model=model,
    )
    rows = _rows_of_leaves(plan, leaves, groups)
    done = TreePlan(replace(plan, rows=rows, notes=(*plan.notes, *notes)), leaves)
    _check_arrays(done)
    return done


def _rows_of_leaves(
    plan: Plan, leaves: Sequence[Leaf], groups: Sequence[Sequence[Parameter]]
) -> tuple[PlanRow, ...]:
    """The rows of a plan, with a single one for each hidden leaf.

    Args:
        plan: The plan of the parameters in all groups, one after the other.
        leaves: The leaves.
        groups: The parameters of each leaf, or what a hidden leaf may stand for.
    """
    rows, kept = iter(plan.rows), list[PlanRow]()
    for leaf, group in zip(leaves, groups, strict=True):
        own = [next(rows) for _ in group]
        kept += [replace(own[0], parameter=leaf.parameters()[0])] if leaf.hidden else own
    return tuple(kept)


@dataclass(frozen=True)
class PlanCache:
    """The plans of one set of rules, one for each kind of tree that was seen.

    A training step that is not compiled thus looks no name up twice.

    Attributes:
        spec: The rules.
        optimizer: The optimizer that has the multipliers, or None if it is not known.
    """

    spec: RuleSpec
    optimizer: optax.GradientTransformation | None = None
    _known: dict[tuple[Hashable, Shapes], TreePlan] = field(
        default_factory=dict, repr=False, compare=False
    )
    _last: dict[Hashable, tuple[Shapes, TreePlan]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def first_plan(self, params: optax.Params) -> TreePlan:
        """The plan of parameters as they are before training; see ``plan_of``."""
        return self.plan(params, values=True)

    def plan(self, tree: optax.Params, values: bool = False) -> TreePlan:
        """The plan of a tree; with ``values``, its numbers are those before training."""
        structure, shapes = structure_of(tree), shapes_of(tree)
        try:
            known = self._known.get((structure, shapes))
        except TypeError:  # a module class may hold something that can't be hashed
            return plan_of(self.spec, tree, model=facts_of(tree, self.optimizer, values))
        if known is None:
            model = facts_of(tree, self.optimizer, values)
            known = self._known[structure, shapes] = plan_of(self.spec, tree, model=model)
        self._last[structure] = shapes, known
        return known

    def plan_of_updates(self, updates: optax.Updates, params: optax.Params | None) -> TreePlan:
        """The plan of the parameters that updates are for.

        Gradients may have more axes than their parameters, one for each example. Without
        parameters the plan of those that were last seen counts.
        """
        structure = structure_of(updates)
        if params is not None and structure_of(params) == structure:
            return self.plan(params)
        try:
            shapes, last = self._last[structure]
        except (KeyError, TypeError):
            return self.plan(updates)
        pairs = list(zip(shapes_of(updates), shapes, strict=True))
        same = all(new == old for new, old in pairs)
        grown = all(new[len(new) - len(old) :] == old for new, old in pairs)
        return last if same or grown else self.plan(updates)


def shapes_of(tree: optax.Params) -> Shapes:
    """The shapes of all arrays in a tree."""
    return tuple(tuple(np.shape(leaf)) for leaf in jax.tree.leaves(tree))


def _is_nothing(value: object) -> bool:
    return not value.values.any() if isinstance(value, ArrayMultiplier) else value == 0.0


def _check_arrays(found: TreePlan) -> None:
    for leaf, rows in zip(found.leaves, found.rows, strict=True):
        values = {id(value): value for value in (found.plan.rows[place].value for place in rows)}
        arrays = [value for value in values.values() if isinstance(value, ArrayMultiplier)]
        if arrays and len(values) > 1:
            raise MultiplierError(
                f"The layers that are stacked in {leaf.name!r} have an array as a multiplier and "
                f"others beside it; the rule {arrays[0].key!r} must match all of them, or none."
            )
        if arrays and not leaf.hidden:
            arrays[0].check_fits(leaf.name, leaf.shape)


def tried(value: StepValue, what: str) -> StepValue:
    """A schedule or callable that was computed once, before training."""
    if isinstance(value, ArrayMultiplier):
        return value
    if plateaus_in([value]):
        raise MultiplierError(
            f"{what} is moved by a metric, {value!r}, and a transformation of Optax sees none. "
            "Make the transformation again at that point, with the value that is wanted; its state "
            "fits. In place of a reduction for all there is optax.contrib.reduce_on_plateau."
        )
    with jax.ensure_compile_time_eval():  # ``init`` may be compiled; this is known all the same
        first_value(value, what, _at_step, _HINT)
    return value


def _at_step(value: StepValue, step: int) -> object:
    if isinstance(value, Schedule):
        return value(step, **counts_of_start([value]))
    return float(value(jnp.asarray(step, jnp.int32)))
