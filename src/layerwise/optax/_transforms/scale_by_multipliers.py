"""scale_by_multipliers: one more link of an Optax chain."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Layers, RuleSpec, StepValue
from layerwise.optax._arrays import ArrayRules, checked_rules
from layerwise.optax._parameters import flatten, is_placeholder
from layerwise.optax._plan import PlanCache, TreePlan
from layerwise.optax._transforms.counts import counts_before_all, counts_in
from layerwise.optax._transforms.factors import factors_at, scaled_updates

_STEP: ContextVar[int] = ContextVar("the step that first factors are of", default=0)


class MultipliersState(NamedTuple):
    """What multipliers keep: arrays alone, so that every checkpoint library takes it.

    Attributes:
        count: Updates applied so far, int32.
        factors: schedule x multiplier of each leaf in the last update (before the first: in the
            first), float32; -1 for a leaf that ``optax.masked`` hides. A leaf in which layers are
            stacked has one for each of them.
        layout: How the factors lie in the tree, int32, a row for each leaf: how many of them it
            has, 0 for what is hidden; and how many keys stand in front of the number of a stacked
            layer (-1 where none are stacked), or before what is hidden.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.optax import scale_by_multipliers
        >>> state = scale_by_multipliers({"body": 0.5}).init({"body": jnp.ones(2), "head": 1.0})
        >>> int(state.count), state.factors.tolist(), state.layout.tolist()
        (0, [0.5, 1.0], [[1, -1], [1, -1]])
    """

    count: jax.Array  # type: ignore[assignment]  # tuples have a count of their own
    factors: jax.Array
    layout: jax.Array


def scale_by_multipliers(
    rules: ArrayRules | None = None,
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

    A schedule that counts something else, ``schedule.by("tokens")``, takes the count of all updates
    before this one from the call: ``optimizer.update(grads, state, params, tokens=seen)``.

    Args:
        rules: Rules by name, the key path joined by ``/`` (``encoder/layer_0/kernel``;
            ``params/`` in front may be left out): a mapping from key to number, schedule or
            callable of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of these.
            Without a matching rule the multiplier is 1. A key may also be a path,
            ``("encoder", "layer_0")``, or what ``key_of(model, part)`` gives; and a multiplier an
            array of numbers that broadcasts against each leaf that it is for.
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
    plans = PlanCache(RuleSpec(checked_rules(rules), schedule, match, strict, layers))

    def init(params: optax.Params) -> MultipliersState:
        return first_state(None if is_placeholder(params) else plans.first_plan(params))

    def update(
        updates: optax.Updates,
        state: MultipliersState,
        params: optax.Params | None = None,
        **extra_args: object,
    ) -> tuple[optax.Updates, MultipliersState]:
        check_state(state, MultipliersState)
        found = plan_for(plans, updates, params, state)
        factors = factors_at(found, state.count, counts_in(found, extra_args))
        values, structure = flatten(updates)
        done = scaled_updates(values, factors.factor, factors.active, found.leaves)
        return jax.tree.unflatten(structure, done), next_state(state, factors.table)

    return optax.GradientTransformationExtraArgs(init, update)


def first_state(found: TreePlan | None) -> MultipliersState:
    """The state before the first update; without a plan, one that has the right structure."""
    count = jnp.zeros((), jnp.int32)
    if found is None:
        return MultipliersState(count, jnp.zeros(0), jnp.zeros((0, 2), jnp.int32))
    step = jnp.asarray(_STEP.get(), jnp.int32)
    return MultipliersState(
        count, factors_at(found, step, counts_before_all(found)).table, jnp.asarray(found.layout)
    )


@contextmanager
def factors_of(step: int) -> Iterator[None]:
    """Inside, ``init`` makes states whose factors are those of this step."""
    token = _STEP.set(step)
    try:
        yield
    finally:
        _STEP.reset(token)


def next_state(state: MultipliersState, table: jax.Array) -> MultipliersState:
    """The state after one more applied update."""
    return MultipliersState(optax.safe_increment(state.count), table, state.layout)


def check_state(state: object, wanted: type) -> None:
    """Raise unless a state is of the class that ``init`` makes.

    Raises:
        OptimizerError: It is another optimizer's, or has lost its classes on the way.
    """
    if isinstance(state, wanted):
        return
    carry = "carry_state(optimizer, params, state) makes a state for this optimizer out of it."
    if isinstance(state, dict | list):
        raise OptimizerError(
            f"This state is a {type(state).__name__}, and must be a {wanted.__name__}: it was "
            "restored without a target. Restore it into optimizer.init(params), as "
            "flax.serialization.from_state_dict(optimizer.init(params), state) or Orbax' "
            f"args.StandardRestore(optimizer.init(params)) do; or {carry}"
        )
    raise OptimizerError(
        f"This state is a {type(state).__name__}, and must be a {wanted.__name__}: it was made by "
        f"another optimizer, perhaps a plain one. {carry}"
    )


def plan_for(
    plans: PlanCache, updates: optax.Updates, params: optax.Params | None, state: MultipliersState
) -> TreePlan:
    """The plan of the updates' tree, which must be the one that ``init`` has seen.

    Raises:
        OptimizerError: It is another tree.
    """
    found = plans.plan_of_updates(updates, params)
    leaves, known = len(found.leaves), state.layout.shape[-2]
    if leaves != known:
        raise OptimizerError(
            f"This state was made for {known} parameters, and the updates have {leaves}; call init "
            "on the tree that is trained."
        )
    if len(found.plan.rows) != state.factors.shape[-1]:
        raise OptimizerError(
            f"This state was made for {state.factors.shape[-1]} layers and leaves, and the rules "
            f"now count {len(found.plan.rows)}, because layers that are stacked in one leaf are "
            "counted otherwise. carry_state(optimizer, params, state) makes a state for these "
            "rules out of it."
        )
    return found
