"""Restores a model and its process after a search.

``fit`` builds the optimizer, the compiled metrics and the compiled loss when it first sees data. If
a search left them built, ``fit`` would skip that and draw one batch fewer, and so shuffle the data
in another order than without the search. So a search leaves them unbuilt again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import keras
import numpy as np
import numpy.typing as npt

from layerwise.keras._finder.attributes import AttributeSnapshot
from layerwise.keras._internals.layer import layers_within
from layerwise.keras._internals.random_states import RandomStates, TorchGenerator
from layerwise.keras._internals.tensorflow import on_each_replica
from layerwise.keras._internals.trainer import parts_built_by_fit
from layerwise.keras._internals.values import number_in

T = TypeVar("T")


@dataclass(frozen=True)
class Before:
    """What is restored after a search, beside the variables.

    Attributes:
        random: The random states.
        layers: The attributes of the layers that are built.
    """

    random: RandomStates
    layers: AttributeSnapshot


@contextmanager
def restored_after(
    model: keras.Model, generators: tuple[TorchGenerator, ...] = ()
) -> Iterator[Before]:
    """Restore everything outside the variables after the block.

    Args:
        model: A compiled model.
        generators: Random generators of PyTorch that belong to the data.

    Yields:
        What is going to be restored; the block may put it back earlier, or renew it.
    """
    random, stop_training = RandomStates(generators), model.stop_training
    with _modules_restored(model):
        variables, parts = variables_of(model, replicas=False), parts_built_by_fit(model)
        kept = AttributeSnapshot(parts, variables)
        # A layer that is not built yet is built in the block, and stays so.
        built = [layer for layer in layers_within(model) if layer.built]
        layers = AttributeSnapshot(built, [*variables, *parts])
        try:
            yield Before(random, layers)
        finally:
            model.stop_training = stop_training
            kept.put_back()
            layers.put_back()
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


def host_value(variable: keras.Variable) -> npt.NDArray[np.generic]:
    """A copy of the value, as a NumPy array."""
    return np.array(number_in(variable))


def _device_copy(variable: keras.Variable) -> keras.KerasTensor:
    on_torch = keras.backend.backend() == "torch"
    return keras.ops.copy(variable.value.detach() if on_torch else variable.value)


def variables_of(model: keras.Model, replicas: bool = True) -> list[keras.Variable]:
    """Every variable of a model, its optimizer and its metrics.

    Args:
        model: A compiled model.
        replicas: Whether one on several replicas is replaced by its parts on each of them.
    """
    every = unique([*model.variables, *model.optimizer.variables, *model.metrics_variables])
    return on_each_replica(model, every) if replicas else every


def unique(things: Sequence[T]) -> list[T]:
    """Each object once, in order."""
    return list({id(thing): thing for thing in things}.values())
