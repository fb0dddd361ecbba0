"""The arrays of a batch, which may lie in containers of any kind, one in the other."""

import copy
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Item = TypeVar("Item")


def is_empty(item: object) -> bool:
    """Whether a batch has arrays, and no example in any of them."""
    lengths = [length_of(array) for array in arrays_in(item)]
    return bool(lengths) and all(length == 0 for length in lengths)


def length_of(array: Any) -> int | None:
    """The length of an array along its first axis; None for what has none."""
    try:
        shape: tuple[int, ...] = getattr(array, "shape", ())
        return int(shape[0]) if len(shape) else None
    except RuntimeError:  # a nested tensor of PyTorch's
        return None


def arrays_in(item: Any) -> Iterator[Any]:
    """The arrays of a batch; what is no container is one."""
    if isinstance(item, Mapping):
        for part in item.values():
            yield from arrays_in(part)
    elif isinstance(item, tuple | list):
        for part in item:
            yield from arrays_in(part)
    elif item is not None:
        yield item


def form_of(item: Any) -> object:
    """The containers of a batch in their order, with the shape of an example for each array."""
    if isinstance(item, Mapping):
        return [(key, form_of(part)) for key, part in item.items()]
    if isinstance(item, tuple | list):
        return [form_of(part) for part in item]
    return None if item is None else tuple(item.shape[1:])


def refilled(like: Item, arrays: Iterator[Any]) -> Item:
    """A batch as another one, with other arrays."""
    made: Item = _refilled(like, arrays)
    return made


def _refilled(like: Any, arrays: Iterator[Any]) -> Any:
    if isinstance(like, Mapping):
        return _mapping_like(like, {key: _refilled(part, arrays) for key, part in like.items()})
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*(_refilled(part, arrays) for part in like))
    if isinstance(like, tuple | list):
        return type(like)(_refilled(part, arrays) for part in like)
    return None if like is None else next(arrays)


def _mapping_like(like: Mapping[Any, Any], parts: dict[Any, Any]) -> Mapping[Any, Any]:
    """Parts in a mapping of the same class, which may have methods that a loss calls."""
    if isinstance(like, dict | UserDict):  # whose copies have items of their own
        made = copy.copy(like)
        made.update(parts)
        return made
    try:
        return type(like)(parts)  # type: ignore[call-arg]  # as most of them are made
    except TypeError:
        return parts
