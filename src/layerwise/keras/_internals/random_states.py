"""The random states of a process: of Python, NumPy, Keras and the backend."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol, runtime_checkable

import keras
from keras.src.backend.common import global_state
from keras.src.random import seed_generator

from layerwise.finder import global_states
from layerwise.keras._internals.tensorflow import tensorflow_generator, tensorflow_op_seeds
from layerwise.keras._internals.values import number_in

Restore = Callable[[], object]

# Keras 3.13 and later have a constant for this key; 3.10 to 3.12 wrote the text itself.
_SEED_KEY: str = getattr(seed_generator, "GLOBAL_SEED_GENERATOR", "global_seed_generator")


@runtime_checkable
class TorchGenerator(Protocol):
    """A random generator of PyTorch, such as that of a ``DataLoader``."""

    def get_state(self) -> object:
        """Where it is."""

    def set_state(self, state: object) -> object:
        """Put it there."""


class RandomStates:
    """The random states of the process now, and those of some generators of PyTorch.

    Args:
        generators: The generators.
    """

    def __init__(self, generators: tuple[TorchGenerator, ...] = ()) -> None:
        self._torch_generators = generators
        self.renew()

    def renew(self) -> None:
        """Remember the present states instead."""
        torch_states = [partial(g.set_state, g.get_state()) for g in self._torch_generators]
        self._restores: list[Restore] = [
            global_states(),
            _keras_state(),
            *torch_states,
            *_backend_states(),
        ]

    def put_back(self) -> None:
        """Set the states that are remembered."""
        for restore in self._restores:
            restore()


def _keras_state() -> Restore:
    generator = global_seed_generator()
    state = None if generator is None else number_in(generator.state).copy()

    def restore() -> None:
        global_state.set_global_attribute(_SEED_KEY, generator)
        if generator is not None:
            generator.state.assign(state)

    return restore


def _backend_states() -> Iterator[Restore]:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        generator, seeds = tensorflow_generator(), tensorflow_op_seeds()
        if generator is not None:
            yield partial(generator.state.assign, generator.state.numpy())
        if seeds is not None:  # TensorFlow makes another generator when a seed is set
            yield partial(_set_op_seeds, seeds.getstate())
    elif backend == "torch":
        import torch

        yield partial(torch.set_rng_state, torch.get_rng_state())
        if torch.cuda.is_available():
            yield partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _set_op_seeds(state: tuple[object, ...]) -> None:
    seeds = tensorflow_op_seeds()
    if seeds is not None:
        seeds.setstate(state)


def global_seed_generator() -> keras.random.SeedGenerator | None:
    """Keras' global generator of seeds; None if nothing has needed it yet."""
    return global_state.get_global_attribute(_SEED_KEY)
