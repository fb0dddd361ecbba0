"""How a rate gets into an Optax optimizer: by making it anew, or through its state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import FinderError
from layerwise.optax._transforms.learning_rates import has_rate, nodes

_WAYS = (
    "give the function that makes it from a rate (optax.adamw, or lambda rate: "
    "optax.chain(optax.clip(1.0), optax.adam(rate))), or make it with "
    "optax.inject_hyperparams(optax.adamw)(learning_rate=...)"
)


class OptimizerAtRate:
    """An optimizer at any base rate, also inside of a compiled step.

    Args:
        optimizer: A function from a rate to an optimizer, or an optimizer whose state has the
            rate, as ``optax.inject_hyperparams`` puts it there.

    Raises:
        FinderError: It is neither.
    """

    def __init__(self, optimizer: Any) -> None:
        if is_optimizer(optimizer):
            self.make: Callable[[Any], Any] = lambda rate: optimizer
        elif callable(optimizer) and not isinstance(optimizer, type):
            self.make = optimizer
        else:
            raise FinderError(f"optimizer={optimizer!r} is no Optax optimizer: {_WAYS}.")
        self._made = is_optimizer(optimizer)
        first = self.make(1.0)
        if not is_optimizer(first):
            raise FinderError(
                f"{getattr(optimizer, '__name__', 'The function')} made a "
                f"{type(first).__name__} from a rate, and no optimizer: {_WAYS}."
            )

    def init(self, params: Any) -> Any:
        """The state of the optimizer at the base rate 1, or at its own if it is made already."""
        return self.make(1.0).init(params)

    def factors(self, state: Any) -> tuple[float, ...]:
        """What each rate in a state is of the base rate, which is the highest of them.

        Raises:
            FinderError: The optimizer is made already, and its rate is not in its state, or is
                computed anew at each update.
        """
        found = [node for _, node in nodes(state, has_rate)]
        if any("learning_rate" in (getattr(n, "hyperparams_states", None) or {}) for n in found):
            raise FinderError(
                "The rate of this optimizer is a schedule, which sets it anew at each update. "
                "Search with a number in its place: learning_rate=1.0, and the same schedule as a "
                "factor on the suggestion afterwards."
            )
        if not found:
            if self._made:
                raise FinderError(
                    f"The rate of this optimizer is fixed inside of it, so that it can't be "
                    f"searched: {_WAYS}."
                )
            return ()
        rates = [float(jnp.asarray(node.hyperparams["learning_rate"])) for node in found]
        base = max(rates)
        if not base > 0:
            raise FinderError(
                "All rates in the optimizer's state are 0, so that their ratio to a base rate "
                "isn't known: make it with learning_rate=1.0."
            )
        return tuple(rate / base for rate in rates)

    def update(self, rate: Any, *args: Any, **extra_args: Any) -> Any:
        """The optimizer's update at a base rate."""
        return optax.with_extra_args_support(self.make(rate)).update(*args, **extra_args)


def with_rates(state: Any, rate: Any, factors: tuple[float, ...]) -> Any:
    """A state whose rates are their parts of a base rate, each in its own type."""
    waiting = list(factors)

    def one(node: Any) -> Any:
        if not has_rate(node):
            return node
        old = node.hyperparams["learning_rate"]
        new = jnp.asarray(rate * waiting.pop(0), jnp.result_type(old))
        inside = {"hyperparams": {**node.hyperparams, "learning_rate": new}}
        return node._replace(**inside, inner_state=every(node.inner_state))

    def every(tree: Any) -> Any:
        return jax.tree.map(one, tree, is_leaf=has_rate)

    return every(state) if factors else state


def is_optimizer(thing: Any) -> bool:
    """Whether it has what an Optax optimizer has."""
    usable = callable(getattr(thing, "init", None)) and callable(getattr(thing, "update", None))
    return usable and not isinstance(thing, type)
