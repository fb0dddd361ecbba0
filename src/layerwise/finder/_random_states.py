"""Random generators of Python and NumPy, put back where they were: a search leaves no trace."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = (np.random.Generator, np.random.RandomState, random.Random)


def state_of(generator: Any) -> Callable[[], None]:
    """Keep where a generator of one of these kinds is; a function that sets it back to there."""
    if isinstance(generator, np.random.Generator):
        inside = generator.bit_generator
        numbers = inside.state
        return lambda: setattr(inside, "state", numbers)
    if isinstance(generator, np.random.RandomState):
        legacy = generator.get_state()
        return lambda: generator.set_state(legacy)
    own = generator.getstate()
    return lambda: generator.setstate(own)


def global_states() -> Callable[[], None]:
    """Keep where Python's and NumPy's global generators are; a function that sets them back."""
    python, numpy = random.getstate(), np.random.get_state()

    def back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)

    return back
