"""AttributeSnapshot: what objects keep in Python, beside their variables.

A layer may keep its hidden state in an attribute, count its calls, or fill a list. What is in an
attribute at any depth is put back in place, so that every reference to it stays valid: the content
of lists, dicts, sets and arrays, the state of random generators, and the attributes of layers,
metrics, losses and optimizers. An object of another kind is only put back where it was.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np

from layerwise.finder import HostGenerator, container_state, generator_state
from layerwise.keras._internals.random_states import TorchGenerator
from layerwise.keras._internals.tensorflow import PROXY_STATE, is_own_variable

if TYPE_CHECKING:
    import torch

Restore: TypeAlias = Callable[[], object]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type)
_WALKED = (
    keras.layers.Layer,
    keras.metrics.Metric,
    keras.losses.Loss,
    keras.optimizers.Optimizer,
    keras.random.SeedGenerator,
    SimpleNamespace,
)
_COMPILED = ("train_function",)  # what is compiled in between serves later training


class AttributeSnapshot:
    """The attributes of some objects, with what is inside them.

    Args:
        objects: The objects.
        known: Objects that are kept elsewhere, and variables whose values are.

    Attributes:
        variables: The other variables that were met. Their values are not part of the snapshot.
    """

    def __init__(self, objects: Iterable[object], known: Iterable[object] = ()) -> None:
        self.variables: list[keras.Variable] = []
        self._restores: list[Restore] = []
        self._seen: dict[int, object] = {}
        for thing in known:
            inside = thing.value if isinstance(thing, keras.Variable) else thing
            self._seen |= {id(thing): thing, id(inside): inside}
        self._waiting: list[object] = []
        for thing in objects:
            if id(thing) not in self._seen:
                self._seen[id(thing)] = thing
                self._keep_attributes(thing)
        while self._waiting:
            self._keep(self._waiting.pop())

    def put_back(self) -> None:
        """Give the objects their attributes and what is inside these its content again."""
        for restore in self._restores:
            restore()

    def _keep(self, value: Any) -> None:
        """Keep what is inside a value; it may be met again, even within itself."""
        if id(value) in self._seen or isinstance(value, _PLAIN):
            return
        self._seen[id(value)] = value
        if isinstance(value, keras.Variable):
            self.variables.append(value)
        elif isinstance(value, list | tuple | dict | set | deque):
            self._keep_content(value)
        elif isinstance(value, HostGenerator):
            self._restores.append(generator_state(value))
        elif isinstance(value, TorchGenerator):
            self._restores.append(partial(value.set_state, value.get_state()))
        elif isinstance(value, np.ndarray):
            self._restores.append(container_state(value))
        elif is_own_variable(value):
            self._restores.append(partial(value.assign, value.numpy()))
        elif _is_torch(value, "Tensor"):
            self._restores.append(_refilled_tensor(value))
        elif _is_walked(value):
            self._keep_attributes(value)

    def _keep_attributes(self, thing: object) -> None:
        inside = getattr(thing, "__dict__", {})  # a dataclass may have slots
        kept = dict(inside)
        self._waiting += kept.values()

        def restore() -> None:
            # One at a time: an interrupt in between must not leave the object without any.
            for name in [name for name in inside if name not in kept]:
                if name not in _COMPILED:
                    del inside[name]
            for name, value in kept.items():
                if name not in _COMPILED and (name not in inside or inside[name] is not value):
                    inside[name] = value

        self._restores.append(restore)

    def _keep_content(self, value: Any) -> None:
        if hasattr(value, "__wrapped__"):  # TensorFlow wraps dicts and tuples in proxies
            for name in PROXY_STATE:
                if hasattr(value, name):
                    self._restores.append(partial(setattr, value, name, getattr(value, name)))
            self._waiting.append(value.__wrapped__)
        elif hasattr(value, "_storage"):  # TensorFlow's lists hold another list
            self._keep_attributes(value)
        else:
            if not isinstance(value, tuple):
                self._restores.append(container_state(value))
            self._waiting += value.values() if isinstance(value, dict) else value


def _refilled_tensor(tensor: "torch.Tensor") -> Restore:
    """A function that fills a tensor of PyTorch with its present values, if they were changed."""
    import torch

    if tensor.is_meta or tensor.layout != torch.strided:
        return lambda: None  # one has no values, the other is replaced, not filled
    values = tensor.detach().clone()

    def restore() -> None:
        if not torch.equal(tensor, values):
            with torch.no_grad():
                tensor.copy_(values)

    return restore


def _is_walked(value: object) -> bool:
    # A layer that is not built yet may be built before this is put back, and stays so.
    known = isinstance(value, _WALKED) or is_dataclass(value) or _is_torch(value, "Module")
    return known and bool(getattr(value, "built", True))


def _is_torch(value: object, kind: str) -> bool:
    """Whether it is PyTorch's, which is imported only on that backend."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return isinstance(value, torch.nn.Module if kind == "Module" else torch.Tensor)
