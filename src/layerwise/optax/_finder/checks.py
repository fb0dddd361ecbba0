"""What find_lr and find_rates ask of parameters, data and optimizer."""

from collections.abc import Iterable
from typing import TypeGuard

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import FinderError, OptimizerError
from layerwise.optax._finder.trainer import accumulates
from layerwise.optax._parameters import is_network_state, is_variable, leaves_of, name_of
from layerwise.optax._transforms.learning_rates import learning_rates, nodes


def check_data(params: optax.Params, batches: object) -> None:
    """Raise unless there are parameters, and something to iterate.

    Raises:
        FinderError: There are not.
    """
    if not leaves_of(params).leaves:
        raise FinderError(
            f"There are no parameters in this {type(params).__name__}: give the tree of arrays "
            "that is trained."
        )
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise FinderError(f"batches={batches!r} must be the batches to train on, any iterable.")


def check_trainable(params: optax.Params) -> None:
    """Raise unless all parameters have gradients.

    Raises:
        FinderError: One has none, or is changed by the network itself.
    """
    for path, value in jax.tree_util.tree_flatten_with_path(params, is_leaf=is_variable)[0]:
        if is_network_state(value):
            raise FinderError(
                f"{name_of(path)!r} is a {type(value).__name__}, which the network changes by "
                "itself, and no parameter. Give nnx.state(model, nnx.Param), and the rest as "
                "extra=."
            )
    for leaf, value in zip(leaves_of(params).leaves, jax.tree.leaves(params), strict=True):
        if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
            raise FinderError(
                f"{leaf.name!r} has the type {jnp.result_type(value)}, and no gradient. Give the "
                "parameters alone, nnx.state(model, nnx.Param) or "
                "eqx.filter(model, eqx.is_inexact_array), and the rest as extra=."
            )


def check_accumulate(number: int, state: optax.OptState) -> None:
    """Raise unless an optimizer gathers batches, if there are several for an update.

    Raises:
        FinderError: It does not.
    """
    if number > 1 and not accumulates(state):
        raise FinderError(
            f"accumulate={number}: this optimizer applies an update after every batch. Put it "
            "into optax.MultiSteps."
        )


def check_one_copy(state: optax.OptState) -> None:
    """Raise if an optimizer trains two copies of the parameters, of which a search has one.

    Raises:
        FinderError: It does.
    """
    for _ in nodes(state, _is_lookahead):
        raise FinderError(
            "optax.lookahead trains two copies of the parameters, and a search one. Search with "
            "the optimizer that is inside of it, or give a whole update as update=."
        )


def _is_lookahead(node: object) -> TypeGuard[optax.LookaheadState]:
    return isinstance(node, optax.LookaheadState)


def group_factors(state: optax.OptState, params: optax.Params) -> dict[str, float]:
    """Each leaf's rate as a factor on the base rate; empty without multipliers."""
    try:
        return learning_rates(state, params, learning_rate=1.0)
    except OptimizerError:
        return {}
