"""Random generators of Python and NumPy, set back after a search."""

import random
from collections.abc import Callable

import numpy as np

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
