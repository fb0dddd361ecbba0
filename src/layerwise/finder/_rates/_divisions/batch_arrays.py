"""The arrays of a batch, which may lie in nested containers of any kind."""

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
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
    """The arrays of a batch; whatever is no container counts as one.

    Examples:
        >>> list(arrays_in({"x": "abc", "y": ["d", None]}))
        ['abc', 'd']
    """
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
    """A batch in the same containers as another one, with other arrays."""
    return map_arrays(lambda _: next(arrays), like)


def map_arrays(change: Callable[[Any], Any], item: Item, whole: tuple[type, ...] = ()) -> Item:
    """A batch in the same containers, with each array changed; None stays None.

    Args:
        change: Gets an array, and returns the new one.
        item: The batch.
        whole: Classes of containers that count as one array.

    Examples:
        >>> map_arrays(len, {"x": "abc", "y": ["d", None]})
        {'x': 3, 'y': [1, None]}
    """

    def changed(part: Any) -> Any:
        if isinstance(part, whole):
            return change(part)
        if isinstance(part, Mapping):
            return with_items(part, {key: changed(value) for key, value in part.items()})
        if isinstance(part, tuple) and hasattr(part, "_fields"):
            return type(part)(*map(changed, part))
        if isinstance(part, tuple | list):
            return type(part)(map(changed, part))
        return None if part is None else change(part)

    made: Item = changed(item)
    return made


def with_items(like: Mapping[Any, object], items: dict[Any, object]) -> Mapping[Any, object]:
    """A mapping with the keys of another one and other values, of its class if one can be made.

    A batch of Transformers or Flax has methods of its own, which a loss may call.

    Examples:
        >>> from collections import OrderedDict
        >>> found = with_items(OrderedDict(x=1), {"x": 2})
        >>> type(found).__name__, found["x"]
        ('OrderedDict', 2)
    """
    kind: Callable[[dict[Any, object]], Mapping[Any, object]] = type(like)
    # A copy of another class may share its items with the original.
    copies = isinstance(like, dict) or hasattr(kind, "__copy__")
    if isinstance(like, MutableMapping) and copies and getattr(like, "__dict__", None) is not like:
        found = copy.copy(like)
        inside = getattr(found, "__dict__", {})
        for key, item in items.items():
            if isinstance(key, str) and key in inside and inside[key] is like[key]:
                inside[key] = item  # values that are attributes, too
            found[key] = item
        return found
    try:
        return kind(items)
    except Exception:  # it is made from something else
        return items
