"""learning_rates: the rates in use, read from any nested optimizer state."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self, TypeGuard, TypeVar

import jax
import numpy as np
import numpy.typing as npt
import optax
from jax.tree_util import GetAttrKey, SequenceKey, tree_flatten_with_path

from layerwise._checks import number
from layerwise.errors import OptimizerError
from layerwise.optax._parameters import Leaf, Path, leaves_of, name_of
from layerwise.optax._transforms.fitting import check_state_there
from layerwise.optax._transforms.scale_by_multipliers import MultipliersState

Node = TypeVar("Node")

_SCALES = {
    "ReduceLROnPlateauState": "scale",
    "ScaleByZoomLinesearchState": "learning_rate",
    "ScaleByBacktrackingLinesearchState": "learning_rate",
}
"""The states that hold a factor on all rates around them, and its name in each."""


def learning_rates(
    state: optax.OptState,
    params: optax.Params,
    *,
    learning_rate: float | Callable[[int], float] | None = None,
) -> dict[str, float]:
    """Each leaf's effective rate, from the state of an optimizer with multipliers.

    The multipliers may be anywhere in it: in ``optax.chain``, ``MultiSteps``, ``apply_if_finite``,
    ``masked``, ``inject_hyperparams``, ``partition``. As in the state of ``inject_hyperparams``,
    these are the rates of the last update; before the first, of the first.

    What Optax keeps in the state as a factor on the rate is in the result:
    ``optax.contrib.reduce_on_plateau``, the step that a line search has found, a ``step_size`` in
    ``inject_hyperparams``. What it keeps nowhere is not: ``optax.scale``, ``scale_by_schedule``,
    and the estimates of optimizers that search for their rate, such as ``prodigy`` and ``dog``.

    Args:
        state: The optimizer's state, of one optimizer and outside of compiled functions.
        params: The parameters that it was made for; only their names are used.
        learning_rate: The base rate, a number or the schedule that the optimizer was given. It
            may be left out where ``optax.inject_hyperparams`` keeps it in the state as
            ``learning_rate``. With 1.0 the result is schedule x multiplier.

    Returns:
        base x schedule x multiplier by name, in JAX's order of leaves; without the leaves that
        are hidden from all multipliers. Layers that are stacked in one leaf have a rate each, under
        the names that the plan has for them (``layers/0/kernel``). Where the multiplier is an
        array, the rate is the largest in it.

    Raises:
        OptimizerError: There are no multipliers in the state, the base rate is not known, the
            parameters are others than those of the state, or the state is one of several members
            at once (``jax.vmap``), inside of ``jax.jit``, or was donated to it.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from layerwise.optax import learning_rates, with_multipliers
        >>> adam = optax.inject_hyperparams(optax.adam)(learning_rate=0.5)
        >>> optimizer = optax.MultiSteps(with_multipliers(adam, {"body": 0.25}), 4)
        >>> params = {"body": jnp.ones(2), "head": jnp.ones(2)}
        >>> learning_rates(optimizer.init(params), params)
        {'body': 0.125, 'head': 0.5}
    """
    found = list(nodes(state, _is_multipliers))
    if not found:
        raise OptimizerError(
            "There are no multipliers in this state. It must be the state of an optimizer made "
            "with with_multipliers or scale_by_multipliers."
        )
    for _, node in found:
        _check_readable(node)
    if learning_rate is not None and not callable(learning_rate):
        learning_rate = number(learning_rate, "learning_rate", OptimizerError)
    leaves = leaves_of(params).leaves
    bases = [(path, node.hyperparams["learning_rate"]) for path, node in nodes(state, has_rate)]
    scales = _scales(state)
    masks = [path for path, _ in nodes(state, _is_mask)]
    base: dict[str, float] = {}
    factors: dict[str, float] = {}
    common: dict[str, dict[Path, float]] = {}
    places: dict[str, int] = {}
    for path, node in found:
        rate = _base(learning_rate, node, path, bases)
        around = {p: scale for p, scale in scales.items() if _acts_on(p, path, masks)}
        for place, name, factor in _factors(leaves, node):
            places[name] = place
            if base.setdefault(name, rate) != rate:
                raise _ambiguous({base[name], rate})
            factors[name] = factors.get(name, 1.0) * factor
            common.setdefault(name, {}).update(around)
    return {
        name: base[name] * factors[name] * math.prod(common[name].values())
        for name in sorted(places, key=places.__getitem__)
    }


def _check_readable(node: MultipliersState) -> None:
    arrays = jax.tree.leaves(node)
    if any(isinstance(array, jax.core.Tracer) for array in arrays):
        raise OptimizerError(
            "learning_rates reads numbers, and inside of a compiled or mapped function (jax.jit, "
            "jax.vmap) a state has none yet. Call it outside, on the state that comes back; or use "
            "explain(...).rates(step), which needs no state."
        )
    if np.ndim(_array(node.factors)) != 1:
        raise OptimizerError(
            "This is the state of several members at once, as jax.vmap or jax.pmap make it. Take "
            "one member: learning_rates(jax.tree.map(lambda leaf: leaf[0], state), params, ...)."
        )


def _factors(leaves: Sequence[Leaf], node: MultipliersState) -> Iterator[tuple[int, str, float]]:
    """The place, name and factor of each leaf that is not hidden, or of each layer in it."""
    table = iter(np.asarray(_array(node.factors), np.float64).tolist())
    layout = np.asarray(_array(node.layout)).tolist()
    place = 0
    for count, depth in layout:
        own = [next(table) for _ in range(max(count, 1))]
        if place < len(leaves) and not count:
            around = leaves[place].path[:depth]
            while place < len(leaves) and leaves[place].path[:depth] == around:
                place += 1
            continue
        if place < len(leaves):
            names = map(name_of, _numbered(leaves[place].path, count, depth))
            yield from zip(itertools.repeat(place, count), names, own, strict=True)
        place += 1
    if place != len(leaves):
        raise OptimizerError(
            f"The state has multipliers for {len(layout)} parameters, and these are "
            f"{len(leaves)}; give the parameters that init was called with."
        )


def _numbered(path: Path, count: int, depth: int) -> tuple[Path, ...]:
    if depth < 0:
        return (path,)
    return tuple((*path[:depth], SequenceKey(i), *path[depth:]) for i in range(count))


def _scales(state: optax.OptState) -> dict[Path, float]:
    """The factors on all rates around them that a state holds, by their path."""
    found = {
        path: rate_in(getattr(node, _SCALES[type(node).__name__]))
        for path, node in nodes(state, _is_scale)
    }
    for path, node in nodes(state, _is_injected):
        if "learning_rate" not in node.hyperparams and "step_size" in node.hyperparams:
            found[path] = abs(rate_in(node.hyperparams["step_size"]))
    return found


def _acts_on(scale: Path, multipliers: Path, masks: Sequence[Path]) -> bool:
    """Whether a factor at one place in a state acts on the leaves of multipliers at another.

    Raises:
        OptimizerError: It acts on some of them, and nothing says on which.
    """
    shared = _shared(scale, multipliers)
    if not any(shared < len(mask) <= len(scale) and scale[: len(mask)] == mask for mask in masks):
        return True
    if any(
        shared < len(mask) <= len(multipliers) and multipliers[: len(mask)] == mask
        for mask in masks
    ):
        return False  # two labels of one partition
    raise OptimizerError(
        f"{name_of(scale)!r} in the state scales the rates of some leaves alone, and nothing tells "
        "of which. Put the multipliers inside of the optax.masked or optax.partition, around each "
        "of its optimizers."
    )


def _base(
    given: float | Callable[[int], float] | None,
    node: MultipliersState,
    path: Path,
    bases: list[tuple[Path, jax.Array]],
) -> float:
    """The base rate of one set of multipliers: the given one, or the nearest in the state."""
    if callable(given):
        return float(given(max(int(_array(node.count)) - 1, 0)))
    if given is not None:
        return given
    if not bases:
        raise OptimizerError(
            "The base rate is not in this state. Make the optimizer with "
            "optax.inject_hyperparams(optax.adam)(learning_rate=...), or give the rate: "
            "learning_rates(state, params, learning_rate=...)."
        )
    near = max(_shared(path, place) for place, _ in bases)
    values = {rate_in(rate) for place, rate in bases if _shared(path, place) == near}
    if len(values) > 1:
        raise _ambiguous(values)
    return values.pop()


def _ambiguous(values: set[float]) -> OptimizerError:
    return OptimizerError(
        f"The state holds several base rates, {', '.join(map(str, sorted(values)))}, and it can't "
        "be told which one the multipliers stand on. Give it: learning_rate=."
    )


def _shared(one: Path, other: Path) -> int:
    """How many steps two places have in common, from the outside."""
    same = [a == b for a, b in zip(one, other, strict=False)]
    return [*same, False].index(False)


class InjectedState(Protocol):
    """The state of ``optax.inject_hyperparams``."""

    hyperparams: dict[str, jax.Array]
    inner_state: optax.OptState

    def _replace(self, **fields: object) -> Self: ...


def nodes(
    tree: optax.OptState, wanted: Callable[[object], TypeGuard[Node]], start: Path = ()
) -> Iterator[tuple[Path, Node]]:
    """Every named tuple of a kind with its path, including those inside others."""
    for path, node in tree_flatten_with_path(tree, is_leaf=wanted)[0]:
        if wanted(node):
            place = (*start, *path)
            yield place, node
            fields: tuple[str, ...] = getattr(type(node), "_fields")  # noqa: B009 (a named tuple)
            for name in fields:
                yield from nodes(getattr(node, name), wanted, (*place, GetAttrKey(name)))


def has_rate(node: object) -> TypeGuard[InjectedState]:
    """Whether it is a state of ``inject_hyperparams`` that keeps a rate."""
    return _is_injected(node) and "learning_rate" in node.hyperparams


def _is_injected(node: object) -> TypeGuard[InjectedState]:
    return hasattr(node, "_fields") and isinstance(getattr(node, "hyperparams", None), dict)


def _is_mask(node: object) -> TypeGuard[optax.MaskedState]:
    return isinstance(node, optax.MaskedState)


def _is_scale(node: object) -> TypeGuard[optax.OptState]:
    return type(node).__name__ in _SCALES


def _is_multipliers(node: object) -> TypeGuard[MultipliersState]:
    return isinstance(node, MultipliersState)


def rate_in(value: jax.Array) -> float:
    """A rate in a state; Optax makes it complex where the first parameter is."""
    return float(_array(value).real)


def _array(value: jax.Array) -> npt.NDArray[np.generic]:
    """The array, taken out of what Flax' nnx wraps around it."""
    check_state_there(value)
    return np.asarray(jax.tree.leaves(value)[0])
