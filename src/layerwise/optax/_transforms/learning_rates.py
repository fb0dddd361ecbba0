"""learning_rates: the rates in use, read from any nested optimizer state."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self, TypeGuard, TypeVar

import jax
import numpy as np
import numpy.typing as npt
import optax
from jax.tree_util import GetAttrKey, tree_flatten_with_path

from layerwise.errors import OptimizerError
from layerwise.optax._parameters import Leaf, Path, leaves_of
from layerwise.optax._transforms.scale_by_multipliers import MultipliersState

Node = TypeVar("Node")


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

    Args:
        state: The optimizer's state.
        params: The parameters that it was made for; only their names are used.
        learning_rate: The base rate, a number or the schedule that the optimizer was given. It
            may be left out where ``optax.inject_hyperparams`` keeps it in the state as
            ``learning_rate``. With 1.0 the result is schedule x multiplier.

    Returns:
        base x schedule x multiplier by name, in JAX's order of leaves; without the leaves that
        are hidden from all multipliers.

    Raises:
        OptimizerError: There are no multipliers in the state, the base rate is not known, or the
            parameters are others than those of the state.

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
    leaves = leaves_of(params).leaves
    bases = [(path, node.hyperparams["learning_rate"]) for path, node in nodes(state, has_rate)]
    base: dict[str, float] = {}
    factors: dict[str, float] = {}
    for path, node in found:
        rate = _base(learning_rate, node, path, bases)
        for leaf, factor in _factors(leaves, node):
            if base.setdefault(leaf.name, rate) != rate:
                raise _ambiguous({base[leaf.name], rate})
            factors[leaf.name] = factors.get(leaf.name, 1.0) * factor
    return {
        leaf.name: base[leaf.name] * factors[leaf.name] for leaf in leaves if leaf.name in factors
    }


def _factors(leaves: tuple[Leaf, ...], node: MultipliersState) -> Iterator[tuple[Leaf, float]]:
    table = np.asarray(_array(node.factors), np.float64)
    if table.shape != (len(leaves),):
        raise OptimizerError(
            f"The state has multipliers for {table.shape[-1]} parameters, and these are "
            f"{len(leaves)}; give the parameters that init was called with."
        )
    for leaf, factor in zip(leaves, table, strict=True):
        if factor >= 0:
            yield leaf, float(factor)


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
        return float(given)
    if not bases:
        raise OptimizerError(
            "The base rate is not in this state. Make the optimizer with "
            "optax.inject_hyperparams(optax.adam)(learning_rate=...), or give the rate: "
            "learning_rates(state, params, learning_rate=...)."
        )
    near = max(_shared(path, place) for place, _ in bases)
    values = {float(_array(rate)) for place, rate in bases if _shared(path, place) == near}
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
    """Every named tuple of a kind with its path, also those inside others."""
    for path, node in tree_flatten_with_path(tree, is_leaf=wanted)[0]:
        if wanted(node):
            place = (*start, *path)
            yield place, node
            fields: tuple[str, ...] = getattr(type(node), "_fields")  # noqa: B009 (a named tuple)
            for name in fields:
                yield from nodes(getattr(node, name), wanted, (*place, GetAttrKey(name)))


def has_rate(node: object) -> TypeGuard[InjectedState]:
    """Whether it is a state of ``inject_hyperparams`` that keeps a rate."""
    values = getattr(node, "hyperparams", None)
    return hasattr(node, "_fields") and isinstance(values, dict) and "learning_rate" in values


def _is_multipliers(node: object) -> TypeGuard[MultipliersState]:
    return isinstance(node, MultipliersState)


def _array(value: jax.Array) -> npt.NDArray[np.generic]:
    """The array, also out of what Flax' nnx wraps around it."""
    return np.asarray(jax.tree.leaves(value)[0])
