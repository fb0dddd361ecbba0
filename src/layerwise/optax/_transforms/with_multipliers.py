"""with_multipliers: any Optax optimizer, with a learning rate for each leaf."""

from typing import NamedTuple

import jax
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Layers, Plan, Rules, RuleSpec, StepValue, moves
from layerwise.optax._parameters import flatten, is_placeholder
from layerwise.optax._plan import PlanCache
from layerwise.optax._transforms.factors import factors_at, mask_gradient, scaled
from layerwise.optax._transforms.frozen_state import check_holdable, hide, with_frozen
from layerwise.optax._transforms.scale_by_multipliers import (
    MultipliersState,
    first_state,
    next_state,
    plan_for,
)

_APPLIED = "it must know the updates that are really applied"
_LEFT_OUT = "it leaves updates out, which a schedule around it can't know"
_NOT_AROUND = {
    "MultiStepsState": ("optax.MultiSteps", "it applies an update only every few calls"),
    "LookaheadState": ("optax.lookahead", _APPLIED),
    "ScheduleFreeState": ("optax.contrib.schedule_free", _APPLIED),
    "ApplyIfFiniteState": ("optax.apply_if_finite", _LEFT_OUT),
    "ConditionallyMaskState": ("optax.conditionally_mask", _LEFT_OUT),
}
"""What multipliers go inside of, by the class of its state: its name, and why."""


class WithMultipliersState(NamedTuple):
    """The state of an optimizer with multipliers.

    Attributes:
        multipliers: The count and the present factors.
        inner_state: The optimizer's own state, without the leaves that are frozen for good.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise.optax import with_multipliers
        >>> optimizer = with_multipliers(optax.sgd(0.1, momentum=0.9), {"body": 0})
        >>> state = optimizer.init({"body": jnp.ones(3), "head": jnp.ones(2)})
        >>> state.inner_state[0].trace
        {'body': MaskedNode(), 'head': Array([0., 0.], dtype=float32)}
    """

    multipliers: MultipliersState
    inner_state: optax.OptState


def with_multipliers(
    optimizer: optax.GradientTransformation,
    rules: Rules | None = None,
    *,
    schedule: StepValue | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Any Optax optimizer, with a learning rate of its own for every leaf.

    The optimizer sees, for leaf $p$ at step $t$ (updates already applied),

    $$\eta_p(t) = \text{learning\_rate} \cdot \text{schedule}(t) \cdot m_p(t)$$

    for every optimizer whose update is proportional to its rate: training equals
    ``optax.partition`` with one optimizer for each rate. A multiplier of 0 freezes: the leaf and
    its optimizer state stay as they are, bit for bit, with weight decay and with a NaN in the
    gradient. A leaf whose multiplier is the number 0 has no optimizer state at all; one whose
    multiplier is 0 at a step keeps its state through that step.

    The update is multiplied after the optimizer, so what an optimizer does after applying its
    rate is multiplied, too. See ``scale_by_multipliers`` for where that makes a difference and
    what to do then.

    Args:
        optimizer: A ``GradientTransformation``, complete with its learning rate and weight decay.
        rules: Rules by name, the key path joined by ``/`` (``encoder/layer_0/kernel``;
            ``params/`` in front may be left out): a mapping from key to number, schedule or
            callable of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of these.
            Without a matching rule the multiplier is 1.
        schedule: A factor on the rate for all leaves: a schedule or callable of the step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for strategies; by default ``layers_of``.

    Returns:
        A ``GradientTransformationExtraArgs``. Its step counts the updates that it was called for;
        inside ``optax.MultiSteps`` or ``optax.apply_if_finite`` these are the applied ones.

    Raises:
        OptimizerError: Not an optimizer, or one that multipliers have to be put into instead of
            around; from ``init``, a tree without parameters.
        MultiplierError: A value, rule or match mode that can't be honoured; from ``init``, rules
            that don't fit the parameters.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise import cosine, warmup
        >>> from layerwise.optax import learning_rates, with_multipliers
        >>> optimizer = with_multipliers(
        ...     optax.adamw(1e-3), {"body": 0.1, "stem": 0}, schedule=warmup(10) >> cosine(90)
        ... )
        >>> params = {"body": jnp.ones(2), "head": jnp.ones(2), "stem": jnp.ones(2)}
        >>> state = optimizer.init(params)
        >>> for _ in range(11):
        ...     updates, state = optimizer.update(params, state, params)
        >>> rates = learning_rates(state, params, learning_rate=1e-3)
        >>> {name: round(rate, 7) for name, rate in rates.items()}
        {'body': 0.0001, 'head': 0.001, 'stem': 0.0}

    Source: ``optax.partition``, with one optimizer and any number of rates.
    """
    _check_optimizer(optimizer)
    plans = PlanCache(RuleSpec(rules, schedule, match, strict, layers))
    inner = optax.with_extra_args_support(optimizer)

    def init(params: optax.Params) -> WithMultipliersState:
        if is_placeholder(params):
            return WithMultipliersState(first_state(None), inner.init(params))
        plan = plans.plan(params)
        state = inner.init(hide(params, _trained(plan, params)))
        _check_nesting(state, plan)
        if any(moves(value) for value, _ in plan.groups):
            check_holdable(inner, state)
        return WithMultipliersState(first_state(plan), state)

    def update(
        updates: optax.Updates,
        state: WithMultipliersState,
        params: optax.Params | None = None,
        **extra_args: optax.Params,
    ) -> tuple[optax.Updates, WithMultipliersState]:
        plan = plan_for(plans, updates, state.multipliers)
        factors = factors_at(plan, state.multipliers.count)
        values, structure = flatten(updates)
        shown = _trained(plan, updates)
        masked = map(mask_gradient, values, factors.active)
        # Some optimizers, such as a line search, are handed more trees like the updates.
        whole: object = jax.tree.structure(updates)
        extra_args = {
            name: hide(value, shown) if jax.tree.structure(value) == whole else value
            for name, value in extra_args.items()
        }
        inner_updates, inner_state = inner.update(
            hide(jax.tree.unflatten(structure, masked), shown),
            state.inner_state,
            None if params is None else hide(params, shown),
            **extra_args,
        )
        if not all(isinstance(active, bool) for active in factors.active):
            active = hide(jax.tree.unflatten(structure, factors.active), shown)
            inner_state = with_frozen(inner, active, state.inner_state, inner_state)
        done = [
            scaled(value if active is False else new, factor, active)
            for value, new, factor, active in zip(
                values, flatten(inner_updates)[0], factors.factor, factors.active, strict=True
            )
        ]
        multiplied = next_state(state.multipliers, factors.table)
        return jax.tree.unflatten(structure, done), WithMultipliersState(multiplied, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


def _trained(plan: Plan, tree: optax.Params) -> optax.Params:
    """Booleans in the places of a tree's leaves: False where the multiplier is the number 0."""
    return jax.tree.unflatten(flatten(tree)[1], [row.value != 0.0 for row in plan.rows])


def _check_optimizer(optimizer: object) -> None:
    """Raise unless it is an optimizer that multipliers can be put around."""
    if isinstance(optimizer, optax.MultiSteps):
        raise OptimizerError(
            "Multipliers go inside of optax.MultiSteps, which counts the applied updates: "
            "MultiSteps(with_multipliers(optimizer, ...), every_k_schedule=...)."
        )
    if not is_optimizer(optimizer):
        raise OptimizerError(
            f"{optimizer!r} is no Optax optimizer. Give a GradientTransformation such as "
            "optax.adamw(1e-3)."
        )


def is_optimizer(thing: object) -> bool:
    """Whether something has what an Optax optimizer has."""
    usable = callable(getattr(thing, "init", None)) and callable(getattr(thing, "update", None))
    return usable and not isinstance(thing, type)


def _check_nesting(state: optax.OptState, plan: Plan) -> None:
    """Raise if multipliers are around something that they must be inside of.

    Raises:
        OptimizerError: They are; the message says how to turn it around.
    """
    counts = plan.schedule is not None or any(moves(value) for value, _ in plan.groups)

    def is_one(node: object) -> bool:
        _, reason = _NOT_AROUND.get(type(node).__name__, ("", _LEFT_OUT))
        return type(node).__name__ in _NOT_AROUND and (counts or reason is not _LEFT_OUT)

    for node in filter(is_one, jax.tree.leaves(state, is_leaf=is_one)):
        name, reason = _NOT_AROUND[type(node).__name__]
        raise OptimizerError(
            f"Multipliers go inside of {name}, not around it: {reason}. Turn it around: "
            f"{name}(with_multipliers(optimizer, ...), ...)."
        )
