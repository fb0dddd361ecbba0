"""How a rate gets into an Optax optimizer: by making it again, or through its state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import FinderError
from layerwise.optax._transforms.learning_rates import has_rate, nodes, rate_in
from layerwise.optax._transforms.with_multipliers import is_optimizer

_WAYS = (
    "give the function that makes it from a rate (optax.adamw, or lambda rate: "
    "optax.chain(optax.clip(1.0), optax.adam(rate))), or make it with "
    "optax.inject_hyperparams(optax.adamw)(learning_rate=...)"
)

OptimizerMaker = Callable[[float | jax.Array], optax.GradientTransformation]
"""A function that makes an optimizer from a rate, such as ``optax.adamw``."""


class OptimizerAtRate:
    """An optimizer at any base rate, even inside a compiled step.

    Args:
        optimizer: A function from a rate to an optimizer, or an optimizer whose state has the
            rate, as ``optax.inject_hyperparams`` puts it there.

    Raises:
        FinderError: It is neither.
    """

    def __init__(self, optimizer: OptimizerMaker | optax.GradientTransformation | None) -> None:
        self._made = is_optimizer(optimizer)
        if self._made:
            made = cast(optax.GradientTransformation, optimizer)
            self._make: OptimizerMaker = lambda rate: made
        elif callable(optimizer) and not isinstance(optimizer, type):
            self._make = optimizer
        else:
            raise FinderError(f"optimizer={optimizer!r} is no Optax optimizer: {_WAYS}.")
        first: object = self._make(1.0)
        if not is_optimizer(first):
            name = getattr(optimizer, "__name__", "The function")
            raise FinderError(
                f"{name} made a {type(first).__name__} from a rate, and no optimizer: {_WAYS}."
            )

    def made(self) -> optax.GradientTransformation:
        """The optimizer at the base rate 1, or at its own rate if it is made already."""
        return self._make(1.0)

    def init(self, params: optax.Params) -> optax.OptState:
        """The optimizer's state at the base rate 1, or at its own rate if it is made already."""
        return self.made().init(params)

    def factors(self, state: optax.OptState) -> tuple[float, ...]:
        """The ratio of each rate in a state to the base rate, which is the highest of them.

        Raises:
            FinderError: The optimizer is made already, and its rate is not in its state, or is
                computed again at each update.
        """
        found = [node for _, node in nodes(state, has_rate)]
        if any("learning_rate" in (getattr(n, "hyperparams_states", None) or {}) for n in found):
            raise FinderError(
                "The rate of this optimizer is a schedule, which sets it at each update. "
                "Search with a number in its place, learning_rate=1.0, and give the same schedule, "
                "as a factor, as schedule= to the search and on the suggestion to the optimizer."
            )
        if not found:
            if self._made:
                raise FinderError(
                    "The rate of this optimizer is fixed inside it, so that it can't be searched: "
                    f"{_WAYS}."
                )
            return ()
        rates = [rate_in(node.hyperparams["learning_rate"]) for node in found]
        base = max(rates)
        if not base > 0:
            raise FinderError(
                "All rates in the optimizer's state are 0, so that their ratio to a base rate "
                "isn't known: make it with learning_rate=1.0."
            )
        return tuple(rate / base for rate in rates)

    def updating(self, state: optax.OptState) -> "UpdateAtRate":
        """Its update, from states like this one.

        Raises:
            FinderError: See ``factors``.
        """
        return UpdateAtRate(self._make, self.factors(state))


@dataclass(frozen=True)
class UpdateAtRate:
    """The update of an optimizer at any base rate.

    Attributes:
        make: Makes the optimizer from the rate.
        factors: The ratio of each rate in its state to the base rate.
    """

    make: OptimizerMaker
    factors: tuple[float, ...]

    def update(
        self,
        rate: float | jax.Array,
        gradients: optax.Updates,
        state: optax.OptState,
        params: optax.Params,
        **extra_args: optax.Params,
    ) -> tuple[optax.Updates, optax.OptState]:
        """The updates at a base rate, and the new state."""
        optimizer = optax.with_extra_args_support(self.make(rate))
        updated: tuple[optax.Updates, optax.OptState]
        updated = optimizer.update(
            gradients, _with_rates(state, rate, self.factors), params, **extra_args
        )
        return updated


def _with_rates(
    state: optax.OptState, rate: float | jax.Array, factors: tuple[float, ...]
) -> optax.OptState:
    """A state whose rates are a base rate times the factors, each in its own type."""
    waiting = list(factors)

    def one(node: object) -> object:
        if not has_rate(node):
            return node
        old = node.hyperparams["learning_rate"]
        new = jnp.asarray(rate * waiting.pop(0), jnp.result_type(old))
        inside = {"hyperparams": {**node.hyperparams, "learning_rate": new}}
        return node._replace(**inside, inner_state=every(node.inner_state))

    def every(tree: optax.OptState) -> optax.OptState:
        return jax.tree.map(one, tree, is_leaf=has_rate)

    return every(state) if factors else state
