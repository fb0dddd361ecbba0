"""What training changes, kept aside and put back in its own place.

Tensors are filled in place and objects stay the same objects, so that a compiled model, a
``DistributedDataParallel`` around it and every reference of the caller's stay valid.
"""

import copy
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise.torch._finder.random_states import is_generator, state_of

PutBack: TypeAlias = Callable[[], Any]
"""Makes a value as it was when it was kept, and returns it."""

_PLAIN = (bool, int, float, complex, str, type(None))


class Snapshot:
    """Keeps what training changes, each tensor once, and puts it back any number of times.

    Args:
        host: Whether the copies of tensors are kept in the host's memory.
        cleared: Parameters whose gradients are taken from them before they train, so that these
            don't change and need no copy.
    """

    def __init__(self, host: bool = False, cleared: Iterable[Tensor] = ()) -> None:
        self._host = host
        self._cleared = {id(tensor) for tensor in cleared}
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}
        self._parts: list[PutBack] = []
        self._states: list[PutBack] = []

    def put_back(self) -> None:
        """Make everything as it was when it was kept."""
        for state in self._states:
            state()  # first: a scheduler writes rates when it is loaded
        with torch.no_grad():
            for tensor, values in self._copies.values():
                tensor.copy_(values)
        for part in self._parts:
            part()

    def module(self, module: nn.Module) -> None:
        """Keep a module: parameters, gradients, buffers, modes, and what it counts by itself."""
        for each in module.modules():
            for tensor in each.parameters(recurse=False):
                self.parameter(tensor)
            named: list[tuple[str, Any]] = [*each.named_parameters("", False, False)]
            named += each.named_buffers("", False, False)
            for name, tensor in named:
                self._named(each, name, tensor)
            self.attributes(each, private=False)

    def optimizer(self, optimizer: Optimizer) -> None:
        """Keep an optimizer: its state, its groups, and the parameters in them."""
        for group in optimizer.param_groups:
            for tensor in group["params"]:
                self.parameter(tensor)
            self._parts.append(self._value(group))
        self._parts.append(self._value(optimizer.state))
        self.attributes(optimizer)

    def stateful(self, thing: Any) -> None:
        """Keep what has a ``state_dict``, such as a scheduler."""
        if isinstance(thing, nn.Module):
            self.module(thing)
            return
        state = copy.deepcopy(thing.state_dict())
        self._states.append(lambda: thing.load_state_dict(copy.deepcopy(state)))
        if hasattr(thing, "__dict__"):
            self.attributes(thing)

    def parameter(self, tensor: Tensor) -> None:
        """Keep a parameter, its gradient, and whether it trains."""
        gradient, trains = tensor.grad, tensor.requires_grad
        self._value(tensor)
        # A view is filled again through what it is a view of, as DistributedDataParallel does it.
        if gradient is not None and (gradient._is_view() or id(tensor) not in self._cleared):
            self._value(gradient)

        def back() -> None:
            tensor.grad = gradient
            if tensor.requires_grad != trains:
                tensor.requires_grad_(trains)

        self._parts.append(back)

    def attributes(self, thing: Any, private: bool = True) -> None:
        """Keep an object's plain attributes: numbers, texts, tensors, random generators."""
        own = vars(thing)
        known = set(own)
        kept = {
            name: self._value(value)
            for name, value in own.items()
            if (private or not name.startswith("_")) and _is_plain(value)
        }

        def back() -> None:
            for name in own.keys() - known:
                if private and _is_plain(own[name]):
                    del own[name]
            for name, value in kept.items():
                own[name] = value()

        self._parts.append(back)

    def inside(self, thing: Any) -> None:
        """Keep an object with its own dictionaries and lists, and what they hold."""
        self._parts.append(self._value(vars(thing)))

    def _named(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        """A buffer may be replaced by another tensor; then the first one returns."""
        self._value(tensor)

        def back() -> None:
            if getattr(module, name, None) is not tensor:
                setattr(module, name, tensor)

        self._parts.append(back)

    def _value(self, value: Any) -> PutBack:
        """Keep a value and what is inside of it; what is unknown here stays the object it is."""
        if isinstance(value, Tensor):
            if id(value) not in self._copies and _is_writable(value):
                self._copies[id(value)] = (value, self._copy(value))
        elif isinstance(value, MutableMapping):
            return self._mapping(value)
        elif isinstance(value, list):
            return self._list(value)
        elif isinstance(value, tuple):
            return self._tuple(value)
        elif is_generator(value):
            return self._generator(value)
        return lambda: value

    def _copy(self, tensor: Tensor) -> Tensor:
        inside = tensor.detach()
        return inside.to("cpu", copy=True) if self._host else inside.clone()

    def _mapping(self, mapping: MutableMapping[Any, Any]) -> PutBack:
        inside = {key: self._value(value) for key, value in mapping.items()}

        def back() -> Any:
            values = {key: put() for key, put in inside.items()}
            mapping.clear()
            mapping.update(values)
            return mapping

        return back

    def _list(self, items: list[Any]) -> PutBack:
        inside = [self._value(item) for item in items]

        def back() -> list[Any]:
            items[:] = [put() for put in inside]
            return items

        return back

    def _tuple(self, items: tuple[Any, ...]) -> PutBack:
        inside = [self._value(item) for item in items]

        def back() -> tuple[Any, ...]:
            for put in inside:
                put()
            return items

        return back

    def _generator(self, generator: Any) -> PutBack:
        put = state_of(generator)

        def back() -> Any:
            put()
            return generator

        return back


def _is_plain(value: Any) -> bool:
    return isinstance(value, (*_PLAIN, Tensor)) or is_generator(value)


def _is_writable(tensor: Tensor) -> bool:
    """Whether anything can change it in place: not one whose elements share their memory."""
    if tensor.is_inference():
        return False
    if tensor.layout != torch.strided:
        return True
    return all(
        stride or size < 2 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )
