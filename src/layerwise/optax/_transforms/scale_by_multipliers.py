"""scale_by_multipliers: one more link of an Optax chain."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Layers, Plan, Rules, RuleSpec, StepValue
from layerwise.optax._parameters import flatten, is_placeholder
from layerwise.optax._plan import PlanCache
from layerwise.optax._transforms.factors import factors_at, scaled


class MultipliersState(NamedTuple):
    """What multipliers keep: arrays alone, so that every checkpoint library takes it.

    Attributes:
        count: Updates applied so far, int32.
        factors: schedule x multiplier of each leaf in the last update (before the first: in the
            first), float32; -1 for a leaf that ``optax.masked`` hides.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.optax import scale_by_multipliers
        >>> state = scale_by_multipliers({"body": 0.5}).init({"body": jnp.ones(2), "head": 1.0})
        >>> int(state.count), state.factors.tolist()
        (0, [0.5, 1.0])
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a count of their own
    factors: jax.Array


def scale_by_multipliers(
    rules: Rules | None = None,
    *,
    schedule: StepValue | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Multiply each leaf's update by its own factor: one more link of an ``optax.chain``.

    $$u_p \leftarrow \text{schedule}(t) \cdot m_p(t) \cdot u_p$$

    Put it where the learning rate is applied: right after ``scale_by_learning_rate``, or after a
    whole optimizer whose last link that is (nearly all of Optax': ``adam``, ``adamw``, ``lion``,
    ``lamb``, ...; decoupled weight decay is inside and scales too). Then the leaf is trained as by
    an optimizer of its own whose rate is ``learning_rate * schedule(t) * m_p(t)``. Where an
    optimizer goes on after its rate, put it between:
    ``chain(scale_by_rms(), scale_by_learning_rate(1e-3), scale_by_multipliers(...), trace(0.9))``.

    A leaf with the multiplier 0 gets an update that changes no bit of it, whatever comes in. Its
    state in the links before this one can't be kept from changing, and a NaN there stays; nor can
    links after this one be stopped from moving it. ``with_multipliers`` freezes both.

    Args:
        rules: Rules by name, the key path joined by ``/`` (``encoder/layer_0/kernel``;
            ``params/`` in front may be left out): a mapping from key to number, schedule or
            callable of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of these.
            Without a matching rule the multiplier is 1.
        schedule: A factor for all leaves: a schedule or callable of the step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for strategies; by default ``layers_of``.

    Returns:
        A ``GradientTransformationExtraArgs``. Its step counts the updates that it was called for;
        inside ``optax.MultiSteps`` or ``optax.apply_if_finite`` these are the applied ones.

    Raises:
        MultiplierError: A value, rule or match mode that can't be honoured; from ``init``, rules
            that don't fit the parameters.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.
        OptimizerError: From ``init``, a tree without parameters; from ``update``, another tree.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise.optax import scale_by_multipliers
        >>> optimizer = optax.chain(optax.sgd(0.1), scale_by_multipliers({"body": 0.5}))
        >>> params = {"body": jnp.ones(1), "head": jnp.ones(1)}
        >>> updates, state = optimizer.update(params, optimizer.init(params))
        >>> updates["body"].item(), updates["head"].item()
        (-0.05000000074505806, -0.10000000149011612)

    Source: ``optax.scale_by_schedule``, with a value for each leaf.
    """
    plans = PlanCache(RuleSpec(rules, schedule, match, strict, layers))

    def init(params: optax.Params) -> MultipliersState:
        return first_state(None if is_placeholder(params) else plans.plan(params))

    def update(
        updates: optax.Updates,
        state: MultipliersState,
        params: optax.Params | None = None,
        **extra_args: object,
    ) -> tuple[optax.Updates, MultipliersState]:
        del params, extra_args
        plan = plan_for(plans, updates, state)
        factors = factors_at(plan, state.count)
        values, structure = flatten(updates)
        done = [scaled(*each) for each in zip(values, factors.factor, factors.active, strict=True)]
        return jax.tree.unflatten(structure, done), next_state(state, factors.table)

    return optax.GradientTransformationExtraArgs(init, update)


def first_state(plan: Plan | None) -> MultipliersState:
    """The state before the first update; without a plan, one that has the right structure."""
    count = jnp.zeros((), jnp.int32)
    return MultipliersState(count, jnp.zeros(0) if plan is None else factors_at(plan, count).table)


def next_state(state: MultipliersState, table: jax.Array) -> MultipliersState:
    """The state after one more applied update."""
    return MultipliersState(optax.safe_increment(state.count), table)


def plan_for(plans: PlanCache, updates: optax.Updates, state: MultipliersState) -> Plan:
    """The plan of the updates' tree, which must be the one that ``init`` has seen.

    Raises:
        OptimizerError: It is another tree.
    """
    plan = plans.plan(updates)
    if len(plan.rows) != state.factors.shape[-1]:
        raise OptimizerError(
            f"This state was made for {state.factors.shape[-1]} parameters, and the updates have "
            f"{len(plan.rows)}; call init on the tree that is trained."
        )
    return plan
