"""Restores a model and its process after a search.

``fit`` builds the optimizer, the compiled metrics and the compiled loss when it first sees data. If
a search left them built, ``fit`` would skip that and draw one batch fewer, and so shuffle the data
in another order than without the search. So a search leaves them unbuilt again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import keras
import numpy as np

from layerwise.keras._internals.random_states import RandomStates, TorchGenerator
from layerwise.keras._internals.tensorflow import PROXY_STATE, on_each_replica
from layerwise.keras._internals.trainer import parts_built_by_fit
from layerwise.keras._internals.values import number_in

T = TypeVar("T")
Container = list[Any] | dict[Any, Any] | set[Any]


@contextmanager
def restored_after(
    model: keras.Model, generators: tuple[TorchGenerator, ...] = ()
) -> Iterator[RandomStates]:
    """Restore everything outside the variables after the block.

    Args:
        model: A compiled model.
        generators: Random generators of PyTorch that belong to the data.

    Yields:
        The random states that are going to be restored; the block may renew them.
    """
    random, stop_training = RandomStates(generators), model.stop_training
    with _modules_restored(model):
        parts = AttributeSnapshot(parts_built_by_fit(model))
        try:
            yield random
        finally:
            model.stop_training = stop_training
            parts.put_back()
            random.put_back()


@contextmanager
def _modules_restored(model: keras.Model) -> Iterator[None]:
    """On PyTorch, take the gradients off for the block; restore them and the modules' modes."""
    if keras.backend.backend() != "torch":
        yield
        return
    modes = {id(module): module.training for module in model.modules()}
    weights = [variable.value for variable in model.trainable_variables]
    gradients = [weight.grad for weight in weights]
    for weight in weights:
        weight.grad = None
    try:
        yield
    finally:
        for module in model.modules():  # one made in the block gets the mode of its model
            module.training = modes.get(id(module), modes[id(model)])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient


class VariableSnapshot:
    """The values of some variables, to be put back.

    Args:
        variables: Variables of Keras, or of one replica.
        on_host: Whether the copies are NumPy arrays, rather than beside the variables.
    """

    def __init__(self, variables: Sequence[keras.Variable], on_host: bool = True) -> None:
        self._variables = variables
        self._values = [host_value(v) if on_host else _device_copy(v) for v in variables]

    def put_back(self) -> None:
        """Assign the values again."""
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)


def host_value(variable: keras.Variable) -> keras.KerasTensor:
    """A copy of the value, as a NumPy array."""
    return np.array(number_in(variable))


def _device_copy(variable: keras.Variable) -> keras.KerasTensor:
    on_torch = keras.backend.backend() == "torch"
    return keras.ops.copy(variable.value.detach() if on_torch else variable.value)


def variables_of(model: keras.Model) -> list[keras.Variable]:
    """Every variable of a model, its optimizer and its metrics, once on each replica."""
    every = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return on_each_replica(model, unique(every))


def unique(things: Sequence[T]) -> list[T]:
    """Each object once, in order."""
    return list({id(thing): thing for thing in things}.values())


class AttributeSnapshot:
    """The attributes of some objects, with the content of the lists, dicts and sets among them.

    Args:
        objects: The objects. The values of variables are not part of it.
    """

    def __init__(self, objects: Sequence[object]) -> None:
        self._attributes: list[tuple[object, dict[str, object]]] = []
        self._refills: dict[int, tuple[object, Callable[[], None]]] = {}
        self._proxies: list[tuple[object, dict[str, object]]] = []
        for thing in objects:
            self._keep_attributes(thing)

    def put_back(self) -> None:
        """Give the objects their attributes and the containers their content again."""
        for thing, attributes in self._attributes:
            vars(thing).clear()
            vars(thing).update(attributes)
        for _, refill in self._refills.values():
            refill()
        for proxy, kept in self._proxies:
            for name, value in kept.items():
                setattr(proxy, name, value)

    def _keep_attributes(self, thing: object, depth: int = 2) -> None:
        attributes = dict(vars(thing))
        self._attributes.append((thing, attributes))
        for value in attributes.values():
            self._keep_content(value, depth)

    def _keep_content(self, value: object, depth: int) -> None:
        if hasattr(value, "__wrapped__"):  # TensorFlow wraps dicts in proxies
            kept = {name: getattr(value, name) for name in PROXY_STATE if hasattr(value, name)}
            self._proxies.append((value, kept))
            value = value.__wrapped__
        if not isinstance(value, list | dict | set) or id(value) in self._refills or not depth:
            return
        if hasattr(value, "_storage"):  # TensorFlow's lists hold another list
            self._keep_attributes(value, depth)
            return
        self._refills[id(value)] = value, _refill(value)
        if isinstance(value, dict):
            for inner in value.values():
                self._keep_content(inner, depth - 1)


def _refill(container: Container) -> Callable[[], None]:
    """A function that gives a container its present content again.

    Keras' lists, dicts and sets track what is put into them, and must not see this; so it calls
    the methods of Python's.
    """
    if isinstance(container, list):
        items = list(container)
        return lambda: list.__setitem__(container, slice(None), items)
    kind: Any = dict if isinstance(container, dict) else set
    content = kind(container)

    def refill() -> None:
        kind.clear(container)
        kind.update(container, content)

    return refill
