"""A copy of everything that training changes, to restore it in place.

Tensors are filled in place and objects stay the same objects, so that a compiled model, a
``DistributedDataParallel`` around it and every reference of the caller's stay valid.
"""

import copy
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise.torch._finder.random_states import Generator, is_generator, state_of

Restore: TypeAlias = Callable[[], object]
"""Restores a value and returns it."""

_PLAIN = (bool, int, float, complex, str, type(None))


@runtime_checkable
class Stateful(Protocol):
    """What has a ``state_dict``, such as a scheduler or a module."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Take over a state."""


class Snapshot:
    """Copies what training changes, each tensor once, and restores it any number of times.

    Args:
        on_host: Whether the copies of tensors are kept in the host's memory.
        replaced: Parameters whose gradients are replaced, not changed, so that these need no copy.
    """

    def __init__(self, on_host: bool = False, replaced: Iterable[Tensor] = ()) -> None:
        self._on_host = on_host
        self._replaced = {id(tensor) for tensor in replaced}
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}
        self._parts: list[Restore] = []
        self._states: list[Restore] = []

    def restore(self) -> None:
        """Make everything as it was when it was added to the snapshot."""
        for state in self._states:
            state()  # first, because a scheduler writes rates when it loads its state
        with torch.no_grad():
            for tensor, values in self._copies.values():
                tensor.copy_(values)
        for part in self._parts:
            part()

    def module(self, module: nn.Module) -> None:
        """Add a module: parameters, gradients, buffers, modes and plain attributes."""
        for each in module.modules():
            for tensor in each.parameters(recurse=False):
                self.parameter(tensor)
            members = (
                *each.named_parameters("", False, False),
                *each.named_buffers("", False, False),
            )
            for name, member in members:
                self._member(each, name, member)
            self.attributes(each, private=False)

    def optimizer(self, optimizer: Optimizer) -> None:
        """Add an optimizer: its state, its groups, and the parameters in them."""
        for group in optimizer.param_groups:
            for tensor in group["params"]:
                self.parameter(tensor)
            self._parts.append(self._value(group))
        self._parts.append(self._value(optimizer.state))
        self.attributes(optimizer)

    def stateful(self, thing: Stateful) -> None:
        """Add what has a ``state_dict``."""
        state = copy.deepcopy(thing.state_dict())
        self._states.append(lambda: thing.load_state_dict(copy.deepcopy(state)))
        if hasattr(thing, "__dict__"):
            self.attributes(thing)

    def parameter(self, tensor: Tensor) -> None:
        """Add a parameter, its gradient, and whether it trains."""
        gradient, trains = tensor.grad, tensor.requires_grad
        self._value(tensor)
        # DistributedDataParallel writes into its buckets, of which gradients can be views.
        if gradient is not None and (gradient._is_view() or id(tensor) not in self._replaced):
            self._value(gradient)

        def restore() -> None:
            tensor.grad = gradient
            if tensor.requires_grad != trains:
                tensor.requires_grad_(trains)

        self._parts.append(restore)

    def attributes(self, thing: object, private: bool = True) -> None:
        """Add an object's plain attributes: numbers, texts, tensors, random generators."""
        inside = vars(thing)
        known = set(inside)
        restores = {
            name: self._value(value)
            for name, value in inside.items()
            if (private or not name.startswith("_")) and _is_plain(value)
        }

        def restore() -> None:
            for name in inside.keys() - known:
                if private and _is_plain(inside[name]):
                    del inside[name]
            for name, value in restores.items():
                inside[name] = value()

        self._parts.append(restore)

    def contents(self, thing: object) -> None:
        """Add all attributes of an object, with its dictionaries and lists."""
        self._parts.append(self._value(vars(thing)))

    def _member(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """Add a parameter or buffer by its name: training may put another tensor in its place."""
        self._value(tensor)

        def restore() -> None:
            if getattr(module, name, None) is not tensor:
                setattr(module, name, tensor)

        self._parts.append(restore)

    def _value(self, value: object) -> Restore:
        """Add a value and what is inside it; an object of another kind is only kept as it is."""
        if isinstance(value, Tensor):
            if id(value) not in self._copies and _is_writable(value):
                self._copies[id(value)] = (value, self._copy(value))
        elif isinstance(value, MutableMapping):
            return self._mapping(value)
        elif isinstance(value, list | tuple):
            return self._sequence(value)
        elif is_generator(value):
            return self._generator(value)
        return lambda: value

    def _copy(self, tensor: Tensor) -> Tensor:
        inside = tensor.detach()
        return inside.to("cpu", copy=True) if self._on_host else inside.clone()

    def _mapping(self, mapping: MutableMapping[object, object]) -> Restore:
        inside = {key: self._value(value) for key, value in mapping.items()}

        def restore() -> object:
            values = {key: value() for key, value in inside.items()}
            mapping.clear()
            mapping.update(values)
            return mapping

        return restore

    def _sequence(self, items: list[object] | tuple[object, ...]) -> Restore:
        inside = [self._value(item) for item in items]

        def restore() -> object:
            values = [item() for item in inside]
            if isinstance(items, list):
                items[:] = values
            return items

        return restore

    def _generator(self, generator: Generator) -> Restore:
        set_back = state_of(generator)

        def restore() -> object:
            set_back()
            return generator

        return restore


def _is_plain(value: object) -> bool:
    return isinstance(value, (*_PLAIN, Tensor)) or is_generator(value)


def _is_writable(tensor: Tensor) -> bool:
    """Whether it can be filled in place: not if several of its elements share one place."""
    if tensor.is_inference():
        return False
    if tensor.layout != torch.strided:
        return True
    return all(
        stride or size < 2 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
