"""carry_state: an optimizer's state for other rules, out of one that was there before.

A state is a tree, and what belongs together in two of them stands at the same path, once the layers
that multipliers add are left out: those of ``with_multipliers`` and of the plain optimizer in it,
of named tuples and of the dictionaries that they become in a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import keystr, tree_flatten_with_path, tree_map_with_path

from layerwise._checks import whole
from layerwise.errors import OptimizerError
from layerwise.optax._parameters import Path, is_hidden, leaves_of
from layerwise.optax._transforms.add_decayed_weights import DecayState
from layerwise.optax._transforms.fitting import check_state_there
from layerwise.optax._transforms.scale_by_multipliers import MultipliersState, factors_of
from layerwise.optax._transforms.with_multipliers import WithMultipliersState

Parts: TypeAlias = tuple[str, ...]
"""A path without the kinds of its keys."""

_OURS = ("multipliers", "inner_state")
_STEPS = ("count", "gradient_step")


def carry_state(
    optimizer: optax.GradientTransformation,
    params: optax.Params,
    state: optax.OptState,
    *,
    step: int | None = None,
    strict: bool = True,
) -> optax.OptState:
    """The state of an optimizer, with all that another state knows of the same parameters.

    The other state may be that of the same optimizer under other rules (what was frozen is trained
    now: linear probing, then fine-tuning), that of the plain optimizer without multipliers, or one
    that was restored as dictionaries. Moments go from each leaf to the leaf of the same name.
    What the other state doesn't have, because it was frozen, starts afresh; what is frozen now is
    left behind. Hyperparameters (``optax.inject_hyperparams``) are those of the new optimizer.

    Adam's count is shared by all leaves and goes on. A leaf that starts afresh thus misses the
    correction of its first moments: its first update is three times as large as its rate says, and
    some after it up to six times. Warm it up over about ``1 / (1 - b2)`` updates,
    ``{"body": warmup(1000) * 0.1}`` with ``step=0``.

    Until the next update ``learning_rates`` gives the rates that the new rules have for the update
    before; of a schedule that counts something other than updates, the first ones.

    Args:
        optimizer: The optimizer to go on with.
        params: The parameters.
        state: The other state.
        step: The step from which schedules go on. By default that of the other state.
        strict: Whether it is an error if something has no counterpart, or one of another shape. If
            not, it starts afresh.

    Returns:
        A state for ``optimizer``.

    Raises:
        OptimizerError: The states have nothing, or not enough, in common; the message names what
            is missing. Or the step is not known, or the old state was donated.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise.optax import carry_state, with_multipliers
        >>> params = {"body": jnp.ones(2), "head": jnp.ones(2)}
        >>> probing = with_multipliers(optax.sgd(0.1, momentum=0.9), {"body": 0})
        >>> _, state = probing.update(params, probing.init(params), params)
        >>> tuning = with_multipliers(optax.sgd(0.1, momentum=0.9), {"body": 0.1})
        >>> state = carry_state(tuning, params, state)
        >>> state.inner_state[0].trace["body"].tolist(), state.inner_state[0].trace["head"].tolist()
        ([0.0, 0.0], [1.0, 1.0])
    """
    if step is not None:
        step = whole(step, "step", OptimizerError, at_most=2**31 - 1)
    check_state_there(state)
    new, old = optimizer.init(params), _read(state)
    names = {_parts(leaf.path) for leaf in leaves_of(params).leaves}
    wanted = _read(new)
    if strict:
        _check(old, wanted, names)
    hyperparams = tuple(path for path in wanted.values if "hyperparams" in path)

    def one(parts: Parts, value: jax.Array) -> jax.Array:
        found = old.values.get(parts)
        if found is None or parts in hyperparams or np.shape(found) != np.shape(value):
            return value
        return jnp.asarray(found, jnp.asarray(value).dtype)

    def rebuilt(tree: optax.OptState, start: Parts) -> optax.OptState:
        def each(path: Path, node: optax.OptState) -> optax.OptState:
            parts = start + _parts(path)
            if isinstance(node, WithMultipliersState):
                inner = rebuilt(node.inner_state, parts)
                return WithMultipliersState(each(path, node.multipliers), inner)
            if isinstance(node, MultipliersState | DecayState):
                count = jnp.asarray(old.step_at(parts) if step is None else step, jnp.int32)
                return node._replace(count=count)
            return node if is_hidden(node) else one(parts, node)

        return tree_map_with_path(each, tree, is_leaf=_is_end)

    return _with_factors(rebuilt(new, ()), optimizer, params)


def _with_factors(
    state: optax.OptState, optimizer: optax.GradientTransformation, params: optax.Params
) -> optax.OptState:
    """The state, with the factors that the present rules have for the update before."""
    ours = filter(_is_multipliers, jax.tree.leaves(state, is_leaf=_is_multipliers))
    steps = sorted({max(int(node.count) - 1, 0) for node in ours})
    if steps in ([], [0]):
        return state
    states = []
    for step in steps:
        with factors_of(step), jax.disable_jit():  # a compiled init would know one step only
            states.append(optimizer.init(params))

    def one(node: optax.OptState, *at_steps: optax.OptState) -> optax.OptState:
        if not _is_multipliers(node):
            return node
        place = steps.index(max(int(node.count) - 1, 0))
        return node._replace(factors=at_steps[place].factors)

    return jax.tree.map(one, state, *states, is_leaf=_is_multipliers)


def _is_multipliers(node: object) -> TypeGuard[MultipliersState]:
    return isinstance(node, MultipliersState)


@dataclass(frozen=True)
class _Read:
    """What a state holds.

    Attributes:
        values: Its arrays by path, without those of multipliers.
        hidden: Where it has nothing for a leaf that is frozen.
        steps: The steps of the multipliers in it.
    """

    values: dict[Parts, jax.Array]
    hidden: set[Parts]
    steps: dict[Parts, int]

    def step_at(self, place: Parts) -> int:
        """The step of the multipliers at a place, or else of the whole optimizer.

        Raises:
            OptimizerError: It isn't known.
        """
        if place in self.steps:
            return self.steps[place]
        known = set(self.steps.values()) or {
            int(np.max(np.asarray(value)))
            for path, value in self.values.items()
            if path[-1] in _STEPS
        }
        if len(known) == 1:
            return known.pop()
        found = ", ".join(map(str, sorted(known))) if known else "none"
        raise OptimizerError(
            f"The state doesn't tell how many updates it has seen (counts in it: {found}). Say "
            "from which step schedules go on: carry_state(..., step=...)."
        )


def _read(state: optax.OptState) -> _Read:
    read = _Read({}, set(), {})
    for parts, node in _ends(state, ()):
        if is_hidden(node):
            read.hidden.add(parts)
        elif (count := _count(node)) is not None:
            read.steps[parts] = int(np.max(np.asarray(jax.tree.leaves(count)[0])))
        else:
            read.values[parts] = cast(jax.Array, node)
    return read


def _ends(tree: optax.OptState, start: Parts) -> Iterator[tuple[Parts, object]]:
    """What a state ends in; the state of multipliers is one, and its inner state is opened."""
    for path, node in tree_flatten_with_path(tree, is_leaf=_is_end)[0]:
        parts = start + _parts(path)
        if _is_with_multipliers(node):
            multipliers, inner = node if isinstance(node, tuple) else (node[name] for name in _OURS)
            yield parts, multipliers
            yield from _ends(inner, parts)
        else:
            yield parts, node


def _check(old: _Read, wanted: _Read, names: set[Parts]) -> None:
    """Raise if something has no counterpart that should have one."""
    trees = {path[: len(path) - len(name)] for path, name in _of_leaves(old, names)}
    for path, value in wanted.values.items():
        shown = "/".join(path)
        if "hyperparams" in path:
            continue
        if path in old.values:
            shape, known = np.shape(value), np.shape(old.values[path])
            if shape != known:
                raise OptimizerError(
                    f"{shown!r} has the shape {shape}, and {known} in the old state: it must be "
                    "the same parameter. With strict=False it starts afresh."
                )
            continue
        name = _leaf(path, names)
        if name is None or path[: len(path) - len(name)] not in trees:
            raise OptimizerError(
                f"The old state has no {shown!r}, which this optimizer needs: it was made by "
                "another kind of optimizer. With strict=False it starts afresh."
            )
    for path in old.values:
        if "hyperparams" in path or path in wanted.values:
            continue
        if _leaf(path, names) is None or path not in wanted.hidden:
            raise OptimizerError(
                f"The old state has {'/'.join(path)!r}, for which this optimizer has no place. "
                "With strict=False it is left behind."
            )


def _of_leaves(read: _Read, names: set[Parts]) -> Iterator[tuple[Parts, Parts]]:
    for path in (*read.values, *read.hidden):
        if (name := _leaf(path, names)) is not None:
            yield path, name


def _leaf(path: Parts, names: set[Parts]) -> Parts | None:
    """The parameter whose name a path ends in: the longest."""
    return next((path[i:] for i in range(len(path) + 1) if path[i:] in names), None)


def _parts(path: Path) -> Parts:
    return tuple(keystr((key,), simple=True) for key in path)


def _is_end(node: object) -> bool:
    return is_hidden(node) or _is_with_multipliers(node) or _count(node) is not None


def _is_with_multipliers(node: object) -> bool:
    is_data = isinstance(node, Mapping) and set(node) == set(_OURS)
    return is_data or isinstance(node, WithMultipliersState)


def _count(node: object) -> object | None:
    """The step in a state of multipliers; None for any other."""
    if isinstance(node, MultipliersState | DecayState):
        return node.count
    if isinstance(node, Mapping) and set(node) == set(MultipliersState._fields):
        count: object = node["count"]
        return count
    return None
