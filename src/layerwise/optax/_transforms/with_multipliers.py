"""with_multipliers: any Optax optimizer, with a learning rate for each leaf."""

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import LayerwiseError, OptimizerError
from layerwise.multipliers import Layers, RuleSpec, StepValue
from layerwise.optax._arrays import ArrayRules, checked_rules
from layerwise.optax._parameters import flatten, is_placeholder, structure_of
from layerwise.optax._plan import PlanCache, TreePlan, shapes_of
from layerwise.optax._transforms.counts import counts_before_all, counts_in
from layerwise.optax._transforms.factors import (
    Active,
    factors_at,
    mask_gradient,
    scaled_updates,
)
from layerwise.optax._transforms.fitting import check_fitting, misfit
from layerwise.optax._transforms.frozen_state import check_holdable, hide, with_frozen
from layerwise.optax._transforms.nesting import check_nesting
from layerwise.optax._transforms.scale_by_multipliers import (
    MultipliersState,
    check_state,
    first_state,
    next_state,
    plan_for,
)
from layerwise.optax._transforms.user_functions import ExtraArgs, without_frozen


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
    rules: ArrayRules | None = None,
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

    A schedule that counts something else, ``schedule.by("tokens")``, takes the count of all updates
    before this one from the call: ``optimizer.update(grads, state, params, tokens=seen)``.

    Args:
        optimizer: A ``GradientTransformation``, complete with its learning rate and weight decay.
        rules: Rules by name, the key path joined by ``/`` (``encoder/layer_0/kernel``;
            ``params/`` in front may be left out): a mapping from key to number, schedule or
            callable of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of these.
            Without a matching rule the multiplier is 1. A key may also be a path,
            ``("encoder", "layer_0")``, or what ``key_of(model, part)`` gives; and a multiplier an
            array of numbers that broadcasts against each leaf that it is for.
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
    plans = PlanCache(RuleSpec(checked_rules(rules), schedule, match, strict, layers), optimizer)
    inner = _Inner(optax.with_extra_args_support(optimizer))

    def init(params: optax.Params) -> WithMultipliersState:
        if is_placeholder(params):
            return WithMultipliersState(first_state(None), inner.optimizer.init(params))
        found = plans.first_plan(params)
        view, inner_state = inner.init(params, found)
        check_nesting(optimizer, inner_state, found)
        multipliers = first_state(found)
        factors = factors_at(found, multipliers.count, counts_before_all(found))
        if (switches := view.switch_tree(factors.active, flatten(params)[1])) is not None:
            check_holdable(inner.optimizer, inner_state, switches)
        return WithMultipliersState(multipliers, inner_state)

    def update(
        updates: optax.Updates,
        state: WithMultipliersState,
        params: optax.Params | None = None,
        **extra_args: object,
    ) -> tuple[optax.Updates, WithMultipliersState]:
        check_state(state, WithMultipliersState)
        found = plan_for(plans, updates, params, state.multipliers)
        factors = factors_at(found, state.multipliers.count, counts_in(found, extra_args))
        values, structure = flatten(updates)
        alike = params is not None and structure_of(params) == structure_of(updates)
        view = inner.view(params if alike else updates, found, state.inner_state)
        inner_updates, inner_state = inner.update(
            view, (updates, state.inner_state, params), factors.active, extra_args
        )
        pairs = zip(values, flatten(inner_updates)[0], factors.active, strict=True)
        made = [value if moves is False else new for value, new, moves in pairs]
        done = scaled_updates(made, factors.factor, factors.active, found.leaves)
        multiplied = next_state(state.multipliers, factors.table)
        return jax.tree.unflatten(structure, done), WithMultipliersState(multiplied, inner_state)

    return optax.GradientTransformationExtraArgs(init, update)


@dataclass(frozen=True)
class _View:
    """What the optimizer inside sees of a tree.

    Attributes:
        shown: Which leaves it sees.
        state: The state that it makes for them, as shapes; None if that isn't known.
    """

    shown: tuple[bool, ...]
    state: optax.OptState | None

    def switches(self, active: Sequence[Active]) -> list[Active]:
        """Whether each leaf trains; what is frozen for good, but seen, is switched off."""
        off = jnp.zeros((), bool)
        pairs = zip(active, self.shown, strict=True)
        return [off if moves is False and seen else moves for moves, seen in pairs]

    def switch_tree(
        self, active: Sequence[Active], structure: jax.tree_util.PyTreeDef
    ) -> optax.Params | None:
        """The switches as a tree of the leaves that it sees; None if nothing seen may be frozen."""
        switches = self.switches(active)
        if all(isinstance(each, bool) for each in switches):
            return None
        shown = jax.tree.unflatten(structure, self.shown)
        return hide(jax.tree.unflatten(structure, switches), shown)


@dataclass(frozen=True)
class _Inner:
    """The optimizer inside, which sees no leaf that is frozen for good, if it can do without.

    Some can't: the mask of ``adamw``, say, may look at every leaf. Then it sees all of them, and
    what is frozen is kept still, as under a multiplier that moves.
    """

    optimizer: optax.GradientTransformationExtraArgs
    _views: dict[Hashable, _View] = field(default_factory=dict, repr=False)
    _checked: set[Hashable] = field(default_factory=set, repr=False)

    def view(
        self, tree: optax.Params, found: TreePlan, state: optax.OptState | None = None
    ) -> _View:
        """What it sees of a tree; a state that is given is checked against it, once.

        Raises:
            OptimizerError: The state doesn't fit, or must not have multipliers around it.
        """
        key = structure_of(tree), shapes_of(tree)
        try:
            if (view := self._views.get(key)) is None:
                view = self._views[key] = self._new_view(tree, found)
            checked = state is None or (key, structure_of(state)) in self._checked
        except TypeError:  # something in a module class or a rule can't be hashed
            view, checked = self._new_view(tree, found), state is None
        if not checked:
            if view.state is not None:
                check_fitting(state, view.state, found.leaves)
            check_nesting(self.optimizer, state, found)
            with suppress(TypeError):
                self._checked.add((key, structure_of(state)))
        return view

    def init(self, params: optax.Params, found: TreePlan) -> tuple[_View, optax.OptState]:
        """What it sees of the parameters, and its state for that."""
        view = self.view(params, found)
        shown = jax.tree.unflatten(flatten(params)[1], view.shown)
        return view, self.optimizer.init(hide(params, shown))

    def update(
        self,
        view: _View,
        given: tuple[optax.Updates, optax.OptState, optax.Params | None],
        active: Sequence[Active],
        extra_args: ExtraArgs,
    ) -> tuple[optax.Updates, optax.OptState]:
        """The update of what it sees; what is frozen at this step keeps its state.

        Args:
            view: What it sees.
            given: The updates, the state and the parameters.
            active: Whether each leaf trains.
            extra_args: The other arguments of the update.
        """
        updates, before, params = given
        values, structure = flatten(updates)
        shown = jax.tree.unflatten(structure, view.shown)
        masked = list(map(mask_gradient, values, view.switches(active)))
        given = jax.tree.unflatten(structure, masked), before, params
        done, after = self._updated(view, given, shown, extra_args)
        if (switches := view.switch_tree(active, structure)) is not None:
            after = with_frozen(self.optimizer, switches, before, after)
        return done, after

    def _updated(
        self,
        view: _View,
        given: tuple[optax.Updates, optax.OptState, optax.Params | None],
        shown: optax.Params,
        extra_args: ExtraArgs,
    ) -> tuple[optax.Updates, optax.OptState]:
        """What the optimizer makes of those parts of updates and parameters that it sees."""
        updates, state, params = given
        if all(view.shown):
            attempts = [extra_args]
        else:
            # A transformation may map over updates and a tree of the user's together.
            attempts = [
                without_frozen(extra_args, updates, params, shown, all_trees=all_trees)
                for all_trees in (False, True)
            ]
        part = hide(updates, shown), state, None if params is None else hide(params, shown)
        errors = []
        for arguments in attempts:
            try:
                done: tuple[optax.Updates, optax.OptState]
                done = self.optimizer.update(*part, **arguments)
                return done
            except LayerwiseError:
                raise
            except Exception as error:  # Optax and the user's functions raise anything
                errors.append(error)
        if view.state is not None and (problem := misfit(state, view.state)):
            raise problem from errors[0]
        raise errors[0]

    def _new_view(self, tree: optax.Params, found: TreePlan) -> _View:
        structure = flatten(tree)[1]
        everything = (True,) * len(found.leaves)
        for shown in dict.fromkeys((found.trained, everything)):
            part = hide(tree, jax.tree.unflatten(structure, shown))
            try:
                return _View(shown, jax.eval_shape(self.optimizer.init, part))
            except LayerwiseError:
                break
            except Exception:  # an optimizer may raise anything; init will show it
                continue
        return _View(found.trained, None)


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


def is_optimizer(value: object) -> bool:
    """Whether a value has what an Optax optimizer has."""
    usable = callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))
    return usable and not isinstance(value, type)
