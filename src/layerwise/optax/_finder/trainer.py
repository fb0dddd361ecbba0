"""The finder's protocol on Optax: arrays never change, so a snapshot only remembers them."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeGuard, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from layerwise.errors import FinderError
from layerwise.finder import global_states
from layerwise.optax._finder.given_arrays import named_in_errors
from layerwise.optax._transforms.counts import MissingCountError
from layerwise.optax._transforms.learning_rates import nodes

Tree: TypeAlias = optax.Params
"""Any tree of arrays: batch statistics, random keys, a batch."""

LossFunction: TypeAlias = Callable[..., jax.Array | tuple[jax.Array, Tree]]
"""``(params, batch)``, or ``(params, extra, batch)``: the loss, and what comes with it."""

Update: TypeAlias = Callable[
    [optax.Params, optax.OptState, Tree, float], tuple[optax.Params, optax.OptState, jax.Array]
]
"""A whole update: ``(params, state, batch, rate) -> (params, state, loss)``."""


_NNX = (
    "With nnx, split the model first, graph, params, rest = nnx.split(model, nnx.Param, ...), and "
    "give params and extra=rest; inside, model = nnx.merge(graph, params, extra), and "
    "return the loss and nnx.state(model, nnx.Not(nnx.Param))."
)


class Trained(NamedTuple):
    """What an update changes: parameters, optimizer state, and the state of the network."""

    params: optax.Params
    state: optax.OptState
    extra: Tree


Rate = TypeVar("Rate")
"""A base rate, or one for each band."""
Rate_contra = TypeVar("Rate_contra", contravariant=True)

Stepped: TypeAlias = tuple[optax.Params, optax.OptState, Tree, jax.Array]
Step: TypeAlias = Callable[[optax.Params, optax.OptState, Tree, Tree, Rate], Stepped]
"""``(params, state, extra, batch, rate) -> (params, state, extra, loss)``"""

Updated: TypeAlias = tuple[optax.Updates, optax.OptState]
"""Updates, and the optimizer's new state."""

Evaluated: TypeAlias = Callable[[optax.Params, Tree, Tree], tuple[jax.Array, Tree]]
"""``(params, extra, batch) -> (loss, extra)``"""


@dataclass(frozen=True)
class _OnHost:
    """An array in the host's memory, and where it came from; None if that is left to JAX."""

    values: npt.NDArray[np.generic]
    sharding: jax.sharding.Sharding | None


class OptaxTrainer(Generic[Rate]):
    """Trains at given rates from given arrays, which all stay as they are.

    Args:
        step: Applies one update.
        start: The arrays to start from.
        jit: Whether to compile the step.
        accumulate: How many batches ``optax.MultiSteps`` gathers for an update.
        donates: Whether the step takes the memory of its arguments, so that it trains a copy.
        memory: Where the start is kept between trainings.
    """

    def __init__(
        self,
        step: Step[Rate],
        start: Trained,
        *,
        jit: bool,
        accumulate: int = 1,
        donates: bool = False,
        memory: Literal["device", "host"] = "device",
    ) -> None:
        given = (0, 1, 2) if donates else ()
        self._step = jax.jit(step, donate_argnums=given) if jit else step
        self._jit, self._accumulate = jit, accumulate
        self._start: Trained = jax.tree.map(_on_host, start) if memory == "host" else start
        self._copies = donates or memory == "host"
        self._now: Trained | None = None

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.Trainer``."""
        return global_states()

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.Trainer``."""
        state()
        self._now = None  # given up before there is another copy

    def now(self) -> Trained:
        """What has been trained so far."""
        if (now := self._now) is None:
            now = Trained(*jax.tree.map(_on_device, self._start)) if self._copies else self._start
            self._now = now
        return now

    def start(self) -> optax.Params:
        """The parameters that training starts from."""
        found: optax.Params = jax.tree.map(_from_host, self._start.params)
        return found

    def train(self, batch: Sequence[Tree], rate: Rate) -> float:
        """See ``layerwise.finder.Trainer``."""
        now = self.now()
        before = _applied(now.state)
        losses = []
        for one in batch:
            with named_in_errors(one, now.extra, jit=self._jit):
                params, state, extra, loss = self._step(*now, one, rate)
            check_scalar(loss)
            self._now = now = Trained(params, state, extra)
            losses.append(loss)
        if before is not None and _applied(now.state) == before:
            raise FinderError(
                f"optax.MultiSteps has applied no update after {self._accumulate} of its batches. "
                "Give as accumulate= how many it gathers for one update."
            )
        return sum(map(float, losses)) / len(losses)


def loss_of(loss_fn: LossFunction, has_aux: bool) -> Evaluated:
    """The loss of a batch, and the new state of the network, which is None if it has none."""

    def evaluated(params: optax.Params, extra: Tree, batch: Tree) -> tuple[jax.Array, Tree]:
        # Made again at this level of tracing, variables of Flax' nnx may be changed in place.
        own = jax.tree.map(lambda leaf: leaf, extra)
        given = (params, batch) if extra is None else (params, own, batch)
        found: Tree = _called(loss_fn, given)
        loss, new = _pair(found) if has_aux or extra is not None else (found, None)
        check_scalar(loss)
        return loss, None if extra is None else new

    return evaluated


class Updating(Protocol[Rate_contra]):
    """An optimizer that is told its rate at each update."""

    def update(
        self,
        rate: Rate_contra,
        gradients: optax.Updates,
        state: optax.OptState,
        params: optax.Params,
        **extra_args: optax.Params,
    ) -> tuple[optax.Updates, optax.OptState]:
        """The updates at a rate, and the new state."""


def loss_step(loss_fn: LossFunction, optimizer: Updating[Rate], has_aux: bool) -> Step[Rate]:
    """A step that takes the gradients of a loss and applies the optimizer at a rate."""
    evaluated = loss_of(loss_fn, has_aux)

    def step(
        params: optax.Params, state: optax.OptState, extra: Tree, batch: Tree, rate: Rate
    ) -> Stepped:
        differentiated = jax.value_and_grad(evaluated, has_aux=True)
        (loss, new), gradients = differentiated(params, extra, batch)

        def value(other: optax.Params, *_: object) -> jax.Array:
            return evaluated(other, extra, batch)[0]

        # What line searches, Polyak's rate, SAM and Sophia ask for.
        known = {
            **{"value": loss, "grad": gradients},
            **{"value_fn": value, "grad_fn": jax.grad(value), "obj_fn": value},
        }
        updates, state = _updated(
            lambda wanted: optimizer.update(rate, gradients, state, params, **wanted), known
        )
        return optax.apply_updates(params, updates), state, new, loss

    return step


def _updated(update: Callable[[dict[str, Tree]], Updated], known: dict[str, Tree]) -> Updated:
    """What an optimizer makes of an update, given all the extra arguments that it takes.

    Only its error says what an optimizer inside of a chain doesn't take.

    Raises:
        FinderError: It wants something else.
    """
    try:
        return update(known)
    except MissingCountError as error:
        raise FinderError(
            f"{error} A search has no such count: leave the schedule out, for what is found is the "
            "rate that it is a factor on; or give find_lr a whole update of yours, update=, in "
            "place of loss function and optimizer."
        ) from error
    except TypeError as error:
        refused = re.search(r"(?is)unexpected keyword argument.*?'(\w+)'", str(error))
        if refused and refused[1] in known:
            fewer = {name: one for name, one in known.items() if name != refused[1]}
        elif "as an abstract array" in str(error) and any(map(callable, known.values())):
            # It is compiled by itself, and takes arrays only.
            fewer = {name: one for name, one in known.items() if not callable(one)}
        elif "required keyword-only argument" in str(error):
            raise FinderError(
                f"The optimizer's update wants more than a search has: {error}. find_lr takes a "
                "whole update of yours, update=, in place of loss function and optimizer."
            ) from error
        else:
            raise
    return _updated(update, fewer)


def update_step(update: Update) -> Step[float]:
    """A step that the caller has written."""

    def step(
        params: optax.Params, state: optax.OptState, extra: Tree, batch: Tree, rate: float
    ) -> Stepped:
        found: object = _called(update, (params, state, batch, rate))
        if not isinstance(found, tuple) or len(found) != 3:
            raise FinderError(
                f"update= must return (params, state, loss), and returned a {type(found).__name__}."
            )
        if jax.tree.leaves(found[0]) == [] or _same_arrays(found[0], params):
            raise FinderError(
                "update= returned the parameters that it was given. It must return new ones and "
                f"change nothing in place, so that a search leaves no trace. {_NNX}"
            )
        return found[0], found[1], extra, found[2]

    return step


def _called(function: Callable[..., Tree], given: tuple[Tree, ...]) -> Tree:
    """What a function of the caller's returns.

    Raises:
        FinderError: It takes other arguments, or changes variables of Flax' nnx in place.
    """
    try:
        wanted = inspect.signature(function)
    except (TypeError, ValueError):  # not every callable has one
        wanted = None
    try:
        if wanted is not None:
            wanted.bind(*given)
    except TypeError as error:
        names = {2: "(params, batch)", 3: "(params, extra, batch)"}
        batch = given[2] if len(given) == 4 else given[-1]
        size = f" of {len(batch)}" if isinstance(batch, tuple | list | dict) else ""
        raise FinderError(
            f"The function must take {names.get(len(given), '(params, state, batch, rate)')}, and "
            f"takes {wanted}: {error}. A batch is one argument, here a "
            f"{type(batch).__name__}{size}: take it apart inside."
        ) from error
    try:
        return function(*given)
    except Exception as error:
        if type(error).__name__ == "TraceContextError" or "different trace level" in str(error):
            raise FinderError(
                f"The function changes variables of Flax' nnx that are not its own. {_NNX}"
            ) from error
        raise


def _same_arrays(one: Tree, other: Tree) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=False)
    return all(a is b for a, b in pairs)


def check_scalar(loss: object) -> None:
    """Raise unless a loss is one number.

    Raises:
        FinderError: It is not.
    """
    shape = getattr(loss, "shape", None if not isinstance(loss, int | float) else ())
    if shape is None:
        raise FinderError(
            f"The loss is a {type(loss).__name__}, and must be one number. Return the one entry to "
            "minimise; a loss function that returns (loss, aux) needs has_aux=True."
        )
    if shape != ():
        raise FinderError(
            f"The loss has the shape {tuple(shape)}, and must be one number: take its mean."
        )


def accumulates(state: optax.OptState) -> bool:
    """Whether an optimizer gathers the gradients of several batches for one update."""
    return _applied(state) is not None


def _applied(state: optax.OptState) -> int | None:
    """How many updates ``optax.MultiSteps`` has applied; None where there is none."""
    for _, node in nodes(state, _is_multi_steps):
        return int(jnp.asarray(node.gradient_step))
    return None


def _is_multi_steps(node: object) -> TypeGuard[optax.MultiStepsState]:
    return isinstance(node, optax.MultiStepsState)


def _pair(found: object) -> tuple[jax.Array, Tree]:
    if not isinstance(found, tuple) or len(found) != 2:
        raise FinderError(
            "With has_aux= or extra= the loss function must return two things, the loss and the "
            f"rest; it returned a {type(found).__name__}."
        )
    return found


def _on_host(leaf: Tree) -> Tree:
    """An array in the host's memory; random keys, which are small, stay where they are."""
    if not isinstance(leaf, jax.Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return leaf
    # What was put nowhere must stay free to go where the others are.
    committed: bool = getattr(leaf, "committed", True)
    return _OnHost(jax.device_get(leaf), leaf.sharding if committed else None)


def _on_device(leaf: Tree) -> Tree:
    """A new array on the device that the leaf came from."""
    if isinstance(leaf, _OnHost):
        return jax.device_put(leaf.values, leaf.sharding)
    return jnp.copy(leaf) if isinstance(leaf, jax.Array) else leaf


def _from_host(leaf: Tree) -> Tree:
    return _on_device(leaf) if isinstance(leaf, _OnHost) else leaf
