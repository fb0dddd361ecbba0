"""Random generators go on from the state that was remembered."""

import random

import numpy as np
import pytest

from layerwise.finder import generator_state, global_states


@pytest.mark.parametrize(
    "generator",
    [np.random.default_rng(1), np.random.RandomState(1), random.Random(1)],
    ids=lambda generator: type(generator).__name__,
)
def test_a_generator(generator):
    draw = generator.normal if hasattr(generator, "normal") else generator.random
    draw()
    back = generator_state(generator)
    first = [draw() for _ in range(5)]
    back()
    assert [draw() for _ in range(5)] == first
    back()  # once more: the remembered state has not moved
    assert [draw() for _ in range(5)] == first


def test_the_global_generators():
    random.seed(1)
    np.random.seed(1)
    np.random.normal()  # draws two and keeps the second, which belongs to the state
    back = global_states()
    first = [(random.random(), np.random.normal()) for _ in range(5)]
    back()
    assert [(random.random(), np.random.normal()) for _ in range(5)] == first
