"""What a search remembers and puts back in place: random generators, and containers."""

import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

HostGenerator = np.random.Generator | np.random.RandomState | random.Random
"""A random generator of Python or NumPy.

Examples:
    >>> import random
    >>> from layerwise.finder import HostGenerator
    >>> isinstance(random.Random(0), HostGenerator), isinstance(random, HostGenerator)
    (True, False)
"""


def generator_state(generator: HostGenerator) -> Callable[[], None]:
    """Remember the state of a random generator.

    Args:
        generator: A generator of Python or NumPy.

    Returns:
        A function that sets the generator back to this state, as often as it is called.

    Examples:
        >>> generator = random.Random(0)
        >>> restore = generator_state(generator)
        >>> first = generator.random()
        >>> restore()
        >>> generator.random() == first
        True
    """
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        state = bits.state
        return lambda: setattr(bits, "state", state)
    if isinstance(generator, np.random.RandomState):
        legacy = generator.get_state()
        return lambda: generator.set_state(legacy)
    python = generator.getstate()
    return lambda: generator.setstate(python)


def global_states() -> Callable[[], None]:
    """Remember the states of the global generators of Python and NumPy.

    Returns:
        A function that sets both back to these states, as often as it is called.

    Examples:
        >>> restore = global_states()
        >>> first = np.random.normal()
        >>> restore()
        >>> np.random.normal() == first
        True
    """
    python, numpy = random.getstate(), np.random.get_state()

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)

    return restore


Container: TypeAlias = (
    list[Any] | MutableMapping[Any, Any] | set[Any] | deque[Any] | npt.NDArray[Any]
)
"""What can be filled again in place.

Examples:
    >>> from layerwise.finder import Container
    >>> container: Container = {"hidden": None}
"""

_KINDS: tuple[Any, ...] = (OrderedDict, dict, list, deque, set)


def container_state(container: Container) -> Callable[[], None]:
    """Remember what is in a container: the same objects in the same places; of an array the values.

    Args:
        container: A list, dictionary, set, deque or array, or one of a class made from these.

    Returns:
        A function that puts it back in place, as often as it is called. What has not changed is
        left alone. A class that tracks what is put into it, as Keras' lists do, or that forbids
        it, as the outputs of Transformers do, doesn't see this.

    Examples:
        >>> seen = [1, 2]
        >>> restore = container_state(seen)
        >>> seen.append(3)
        >>> restore()
        >>> seen
        [1, 2]
    """
    if isinstance(container, np.ndarray):
        array, values = container, container.copy()
        return lambda: np.copyto(array, values) if array.flags.writeable else None
    kind: Any = next((each for each in _KINDS if isinstance(container, each)), type(container))
    inside = _objects(container)

    def restore() -> None:
        present = _objects(container)
        if list(map(id, present)) == list(map(id, inside)):
            return
        kind.clear(container)
        if isinstance(container, MutableMapping):
            count = len(inside) // 2
            for key, value in zip(inside[:count], inside[count:], strict=True):
                kind.__setitem__(container, key, value)
        else:
            refill = kind.extend if hasattr(kind, "extend") else kind.update
            refill(container, inside)

    return restore


def _objects(container: Iterable[Any]) -> list[Any]:
    """What is in a container; of a mapping first the keys, then the values."""
    if isinstance(container, MutableMapping):
        return [*container.keys(), *container.values()]
    return list(container)
