"""A copy of everything that training changes, to restore it in place.

Tensors are filled in place and objects stay the same objects, so that a compiled model, a
``DistributedDataParallel`` around it and every reference of the caller's stay valid.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import Dataset

from layerwise.finder import container_state
from layerwise.torch._finder.random_states import is_generator, state_of

Restore: TypeAlias = Callable[[], object]

_PLAIN = (bool, int, float, complex, str, type(None))
_OF_MODULE = frozenset(vars(nn.Module())) - {"training"}
_FRAMEWORKS = {"torch", "lightning", "pytorch_lightning"}
_WRAPPERS = (DistributedDataParallel, DataParallel)
_COMPILED = "OptimizedModule"  # of torch.compile


@runtime_checkable
class Stateful(Protocol):
    """What has a ``state_dict``, such as a scheduler or a module."""

    def state_dict(self) -> dict[str, Any]:
        """The state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Take over a state."""


class Snapshot:
    """Copies what training changes, each thing once, and restores it any number of times.

    Args:
        on_host: Whether the copies of tensors are kept in the host's memory.
        replaced: Parameters whose gradients are replaced, not changed, so that these need no copy.
    """

    def __init__(self, on_host: bool = False, replaced: Iterable[Tensor] = ()) -> None:
        self._on_host = on_host
        self._replaced = {id(tensor) for tensor in replaced}
        self._copies: list[tuple[Tensor, Tensor, int]] = []
        self._parts: list[Restore] = []
        self._states: list[Restore] = []
        self._known: dict[int, object] = {}
        self._packages: set[str] = set()

    def restore(self) -> None:
        """Make everything as it was when it was added to the snapshot."""
        for state in self._states:
            state()  # first, because a scheduler writes rates when it loads its state
        with torch.no_grad():
            for tensor, values, version in self._copies:
                # A hidden state that is part of a graph is left alone, if it can be.
                if tensor.grad_fn is None or tensor._version != version:
                    tensor.copy_(values)
        for part in self._parts:
            part()

    def module(self, module: nn.Module) -> None:
        """Add a module: parameters, gradients, buffers, modes, and what its attributes hold."""
        modules = [each for each in module.modules() if self._is_new(each)]
        self._packages |= {_package(each) for each in modules} - _FRAMEWORKS
        for each in modules:
            for tensor in each.parameters(recurse=False):
                self.parameter(tensor)
            for member in (*each.buffers(recurse=False), each._parameters, each._buffers):
                self._value(member)
            if isinstance(each, _WRAPPERS) or type(each).__name__ == _COMPILED:
                # What these keep in private has to agree with what they keep in C++.
                self._attributes(each, lambda name, value: name[0] != "_" and _is_plain(value))
            else:
                self._attributes(each, lambda name, value: name not in _OF_MODULE)

    def optimizer(self, optimizer: Optimizer) -> None:
        """Add an optimizer: its state, its groups, and the parameters in them."""
        if self._is_new(optimizer):
            for group in optimizer.param_groups:
                for tensor in group["params"]:
                    self.parameter(tensor)
                self._value(group)
            self._value(optimizer.state)
            self._attributes(optimizer, lambda name, value: name not in ("param_groups", "state"))

    def groups(self, optimizer: Optimizer) -> None:
        """Add the groups of an optimizer, without the parameters in them."""
        for group in optimizer.param_groups:
            self._parts.append(container_state(group))
            for key, value in group.items():
                if key != "params":
                    self._value(value)

    def stateful(self, thing: Stateful) -> None:
        """Add what has a ``state_dict``."""
        state = copy.deepcopy(thing.state_dict())
        self._states.append(lambda: thing.load_state_dict(copy.deepcopy(state)))
        if hasattr(thing, "__dict__"):
            self._attributes(thing, lambda name, value: _is_plain(value))

    def contents(self, thing: object) -> None:
        """Add all attributes of an object, with what is in its containers."""
        self._attributes(thing, lambda name, value: True)

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

    def _value(self, value: object) -> None:
        """Add what a value holds. An object of a kind that isn't known stays as training leaves it.

        Containers are filled again with the same objects that were in them, and each of those is
        restored on its own, so that any of them may be in several places.
        """
        if isinstance(value, _PLAIN):
            return
        if isinstance(value, nn.Module):
            self.module(value)
        elif isinstance(value, Optimizer):
            self.optimizer(value)
        elif self._is_new(value):
            if isinstance(value, Tensor):
                if _is_writable(value):
                    self._copies.append((value, copied(value, self._on_host), value._version))
            elif is_generator(value):
                self._parts.append(state_of(value))
            elif isinstance(value, MutableMapping | list | deque | set | np.ndarray):
                self._parts.append(container_state(value))
            self._inside(value)
            if self._is_data(value):
                self.contents(value)

    def _inside(self, value: object) -> None:
        """Add what is in a container."""
        if isinstance(value, MutableMapping):
            value = list(value.values())
        if isinstance(value, list | deque | set | tuple | frozenset):
            for item in list(value):
                self._value(item)

    def _is_new(self, thing: object) -> bool:
        new = id(thing) not in self._known
        self._known[id(thing)] = thing  # it lives, so that no other thing gets its id
        return new

    def _is_data(self, value: object) -> bool:
        """Whether to look inside an object: a dataclass, or one of the model's own package.

        Such as a memory or a cache. A logger or a trainer that a module knows is no part of the
        model, and may change meanwhile for reasons of its own.
        """
        if isinstance(value, type | Dataset):
            return False
        plain = is_dataclass(value) or isinstance(value, SimpleNamespace)
        return plain or _package(value) in self._packages

    def _attributes(self, thing: object, wanted: Callable[[str, object], bool]) -> None:
        """Add the attributes of an object; those that come later are taken away."""
        slots = [name for name in _slots(thing) if hasattr(thing, name)]
        inside: dict[str, Any] = getattr(thing, "__dict__", {})
        known = set(inside)
        values = {name: value for name, value in inside.items() if wanted(name, value)}
        in_slots = {name: getattr(thing, name) for name in slots}
        for value in (*values.values(), *in_slots.values()):
            self._value(value)

        def restore() -> None:
            for name in inside.keys() - known:
                if wanted(name, inside[name]):
                    del inside[name]
            inside.update(values)
            for name, value in in_slots.items():
                object.__setattr__(thing, name, value)

        self._parts.append(restore)


def copied(tensor: Tensor, on_host: bool) -> Tensor:
    """A copy of a tensor's values, where it is or in the host's memory."""
    inside = tensor.detach()
    return inside.to("cpu", copy=True) if on_host else inside.clone()


@contextmanager
def as_before(optimizer: Optimizer, schedulers: Iterable[Stateful]) -> Iterator[None]:
    """After the block, an optimizer's groups and schedulers are as they were before it."""
    snapshot = Snapshot()
    for each in schedulers:
        snapshot.stateful(each)
    snapshot.groups(optimizer)
    try:
        yield
    finally:
        snapshot.restore()


def _is_plain(value: object) -> bool:
    return isinstance(value, (*_PLAIN, Tensor)) or is_generator(value)


def _package(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _slots(thing: object) -> Iterable[str]:
    """The names of an object's slots, if its class has any."""
    for kind in type(thing).__mro__:
        names = vars(kind).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if name not in ("__dict__", "__weakref__"):
                yield f"_{kind.__name__.lstrip('_')}{name}" if _is_mangled(name) else name


def _is_mangled(name: str) -> bool:
    return name.startswith("__") and not name.endswith("__")


def _is_writable(tensor: Tensor) -> bool:
    """Whether it can be filled in place: not if several of its elements share one place."""
    if tensor.is_inference():
        return False
    if tensor.layout != torch.strided:
        return True
    return all(
        stride or size < 2 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
