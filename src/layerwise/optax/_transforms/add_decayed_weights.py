"""add_decayed_weights: weight decay with rules, as one link of an Optax chain."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from layerwise._checks import number
from layerwise.errors import MultiplierError, OptimizerError
from layerwise.multipliers import Layers, RuleSpec, StepValue, moves
from layerwise.optax._arrays import ArrayRules, checked_rules
from layerwise.optax._parameters import flatten, is_hidden, is_placeholder
from layerwise.optax._plan import PlanCache, TreePlan, tried
from layerwise.optax._transforms.counts import counts_in
from layerwise.optax._transforms.factors import Number, numbers_at
from layerwise.optax._transforms.scale_by_multipliers import check_state

WeightDecay: TypeAlias = float | StepValue
"""A weight decay: a number of at least 0, a schedule, or a callable of the step."""


class DecayState(NamedTuple):
    """The state of a weight decay that moves; without one, the state is Optax' ``EmptyState``.

    Attributes:
        count: Updates applied so far, int32.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise import cosine
        >>> from layerwise.optax import add_decayed_weights
        >>> decay = add_decayed_weights(0.01, {"body": cosine(100)})
        >>> int(decay.init({"body": jnp.ones(2)}).count)
        0
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a count of their own


def add_decayed_weights(
    weight_decay: WeightDecay,
    decay_rules: ArrayRules | None = None,
    *,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Weight decay with a multiplier for each leaf: one link of an ``optax.chain``.

    $$u_p \leftarrow u_p + \text{weight\_decay}(t) \cdot m_p(t) \cdot p$$

    Put it where an optimizer has ``optax.add_decayed_weights``, before the learning rate:
    ``adamw(1e-3, weight_decay=0.01)`` is
    ``chain(scale_by_adam(), add_decayed_weights(0.01), scale_by_learning_rate(1e-3))``. The decay
    then scales with the leaf's rate, even under ``with_multipliers`` around the chain, and a leaf
    that is frozen there doesn't decay.

    Args:
        weight_decay: The weight decay: a number of at least 0, a schedule, or a callable of the
            step.
        decay_rules: Rules for it, by name as for ``with_multipliers``: a multiplier for each leaf.
            0 means no weight decay.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for strategies; by default ``layers_of``.

    Returns:
        A ``GradientTransformationExtraArgs``. While nothing moves its state is ``EmptyState``, so
        that the state of a chain is that of Optax' own optimizer.

    Raises:
        MultiplierError: A value, rule or match mode that can't be honoured; from ``init``, rules
            that don't fit the parameters.
        OptimizerError: From ``init``, a tree without parameters; from ``update``, no parameters.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise.optax import add_decayed_weights
        >>> optimizer = optax.chain(
        ...     optax.scale_by_adam(),
        ...     add_decayed_weights(0.5, {"bias": 0}),
        ...     optax.scale_by_learning_rate(1.0),
        ... )
        >>> params = {"bias": jnp.ones(1), "kernel": jnp.ones(1)}
        >>> nothing = {"bias": jnp.zeros(1), "kernel": jnp.zeros(1)}
        >>> updates, _ = optimizer.update(nothing, optimizer.init(params), params)
        >>> updates["bias"].item(), updates["kernel"].item()
        (-0.0, -0.5)

    Source: ``optax.add_decayed_weights``, with a value for each leaf.
    """
    if callable(weight_decay):
        tried(weight_decay, "weight_decay")
    else:
        weight_decay = number(weight_decay, "weight_decay", MultiplierError)
    plans = PlanCache(RuleSpec(checked_rules(decay_rules), None, match, strict, layers))

    def counts(found: TreePlan) -> bool:
        return any(map(moves, (weight_decay, *(value for value, _ in found.plan.groups))))

    def init(params: optax.Params) -> DecayState | optax.EmptyState:
        if is_placeholder(params) or not counts(plans.plan(params)):
            return optax.EmptyState()
        return DecayState(jnp.zeros((), jnp.int32))

    def update(
        updates: optax.Updates,
        state: DecayState | optax.EmptyState,
        params: optax.Params | None = None,
        **extra_args: object,
    ) -> tuple[optax.Updates, DecayState | optax.EmptyState]:
        if params is None:
            raise OptimizerError(
                "Weight decay needs the parameters: call update(gradients, state, params)."
            )
        found = plans.plan_of_updates(updates, params)
        count = jnp.zeros((), jnp.int32)
        if counts(found):
            check_state(state, DecayState)
            assert isinstance(state, DecayState)
            count, state = state.count, DecayState(optax.safe_increment(state.count))
        decays = numbers_at(found, weight_decay, count, counts_in(found, extra_args, weight_decay))
        structure = flatten(updates)[1]
        done = jax.tree.map(
            _decayed,
            updates,
            params,
            jax.tree.unflatten(structure, map(_Decay, decays)),
            is_leaf=lambda value: value is None or is_hidden(value),
        )
        return done, state

    return optax.GradientTransformationExtraArgs(init, update)


class _Decay:
    """A weight decay as a leaf of a tree, even where it is an array of several numbers."""

    def __init__(self, value: Number) -> None:
        self.value = value


def _decayed(
    update: jax.Array | optax.MaskedNode | None, weight: jax.Array, decay: _Decay | None
) -> jax.Array | optax.MaskedNode | None:
    if update is None or decay is None or is_hidden(update):
        return update
    value = decay.value
    if isinstance(value, float):  # as Optax has it, and None of it where there is none
        return update + value * weight if value else update
    done = update + value * weight
    return done.astype(jnp.promote_types(jnp.result_type(update), jnp.result_type(weight)))
