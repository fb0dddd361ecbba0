"""The finder's protocol on Optax: arrays never change, so a snapshot only remembers them."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import FinderError
from layerwise.finder import global_states
from layerwise.optax._finder.base_rate import OptimizerAtRate, with_rates
from layerwise.optax._transforms.learning_rates import nodes

Step: TypeAlias = Callable[[Any, Any, Any, Any, Any], tuple[Any, Any, Any, Any]]
"""(params, state, extra, batch, rate) -> (params, state, extra, loss)"""


class Trained(NamedTuple):
    """What an update changes: parameters, optimizer state, and the state of the network."""

    params: Any
    state: Any
    extra: Any


class OptaxTrainer:
    """Trains at given rates from given arrays, which all stay as they are.

    Args:
        step: Applies one update.
        start: What to start from.
        micro: How many batches ``optax.MultiSteps`` gathers for an update.
        donates: Whether the step takes the memory of its arguments, so that it trains a copy.
    """

    def __init__(self, step: Step, start: Trained, *, micro: int = 1, donates: bool = False):
        self._step, self._micro, self._donates = step, micro, donates
        self._start = start
        self._now: Trained | None = None

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.Trainer``."""
        return global_states()

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.Trainer``."""
        state()
        self._now = None  # given up before there is another copy

    def train(self, batch: Any, rate: float) -> float:
        """See ``layerwise.finder.Trainer``."""
        now = self._copy(self._start) if self._now is None else self._now
        before = _applied(now.state)
        losses = []
        for one in batch:
            params, state, extra, loss = self._step(*now, one, rate)
            check_scalar(loss)
            self._now = now = Trained(params, state, extra)
            losses.append(loss)
        if before is not None and _applied(now.state) == before:
            raise FinderError(
                f"optax.MultiSteps has applied no update after {self._micro} of its batches: give "
                "find_lr as accumulate= how many it gathers for one update."
            )
        return sum(map(float, losses)) / len(losses)

    def _copy(self, trained: Trained) -> Trained:
        if not self._donates:
            return trained
        copied: Trained = jax.tree.map(_copied, trained)
        return copied


def loss_step(
    loss_fn: Callable[..., Any], rated: OptimizerAtRate, factors: Any, has_aux: bool
) -> Step:
    """A step that takes a loss' gradients and applies the optimizer at a rate."""

    def step(params: Any, state: Any, extra: Any, batch: Any, rate: Any) -> Any:
        def of(params: Any) -> Any:
            given = (params, batch) if extra is None else (params, extra, batch)
            found = loss_fn(*given)
            if not has_aux and extra is None:
                loss, new = found, None
            else:
                loss, new = _pair(found)
            check_scalar(loss)
            return loss, new if extra is not None else None

        (loss, new), gradients = jax.value_and_grad(of, has_aux=True)(params)
        state = with_rates(state, rate, factors)
        updates, state = rated.update(rate, gradients, state, params, value=loss, grad=gradients)
        return optax.apply_updates(params, updates), state, new, loss

    return step


def own_step(update: Callable[..., Any]) -> Step:
    """A step that the caller has written."""

    def step(params: Any, state: Any, extra: Any, batch: Any, rate: Any) -> Any:
        found = update(params, state, batch, rate)
        if not isinstance(found, tuple) or len(found) != 3:
            raise FinderError(
                f"update= has to return (params, state, loss), and returned a "
                f"{type(found).__name__}."
            )
        return found[0], found[1], extra, found[2]

    return step


def check_scalar(loss: Any) -> None:
    """Raise unless a loss is one number.

    Raises:
        FinderError: It is not.
    """
    shape = getattr(loss, "shape", None if not isinstance(loss, int | float) else ())
    if shape is None:
        raise FinderError(
            f"The loss is a {type(loss).__name__}, and has to be one number. A loss function that "
            "returns (loss, aux) needs has_aux=True."
        )
    if shape != ():
        raise FinderError(
            f"The loss has the shape {tuple(shape)}, and has to be one number: take its mean."
        )


def gathers(state: Any) -> bool:
    """Whether an optimizer gathers gradients of several batches for one update."""
    return _applied(state) is not None


def _applied(state: Any) -> int | None:
    """How many updates ``optax.MultiSteps`` has applied; None where there is none."""
    for _, node in nodes(state, lambda node: isinstance(node, optax.MultiStepsState)):
        return int(jnp.asarray(node.gradient_step))
    return None


def _pair(found: Any) -> Any:
    if not isinstance(found, tuple) or len(found) != 2:
        raise FinderError(
            f"With has_aux= or extra= the loss function has to return two things, the loss and "
            f"the rest; it returned a {type(found).__name__}."
        )
    return found


def _copied(leaf: Any) -> Any:
    return jnp.copy(leaf) if isinstance(leaf, jax.Array) else leaf
