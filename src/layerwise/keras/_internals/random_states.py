"""The random states of a process: of Python, NumPy, Keras and the backend."""

from typing import Protocol, runtime_checkable

import keras
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from layerwise.finder import global_states
from layerwise.keras._internals.tensorflow import tensorflow_generator, tensorflow_op_seeds
from layerwise.keras._internals.values import number_in


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
        self._put_host_back = global_states()
        self._keras = global_seed_generator()
        state = None if self._keras is None else number_in(self._keras.state)
        self._keras_state = None if state is None else state.copy()
        self._generators = [(g, g.get_state()) for g in self._torch_generators]
        backend = keras.backend.backend()
        if backend == "tensorflow":
            generator = tensorflow_generator()
            self._tensorflow = generator, None if generator is None else generator.state.numpy()
            seeds = tensorflow_op_seeds()
            self._op_seeds = None if seeds is None else seeds.getstate()
        elif backend == "torch":
            import torch

            self._torch = torch.get_rng_state()
            self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def put_back(self) -> None:
        """Set the states that are remembered."""
        self._put_host_back()
        set_global_seed_generator(self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)
        for generator, state in self._generators:
            generator.set_state(state)
        backend = keras.backend.backend()
        if backend == "tensorflow":
            stateful, values = self._tensorflow
            if stateful is not None:
                stateful.state.assign(values)
            seeds = tensorflow_op_seeds()
            if self._op_seeds is not None and seeds is not None:
                seeds.setstate(self._op_seeds)
        elif backend == "torch":
            import torch

            torch.set_rng_state(self._torch)
            if self._cuda:
                torch.cuda.set_rng_state_all(self._cuda)


def global_seed_generator() -> keras.random.SeedGenerator | None:
    """Keras' global generator of seeds; None if nothing has needed it yet."""
    return global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def set_global_seed_generator(generator: keras.random.SeedGenerator | None) -> None:
    """Make this Keras' global generator of seeds, or have none."""
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)
