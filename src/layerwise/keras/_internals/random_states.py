"""The random states of a process: of Python, NumPy, Keras and the backend."""

from typing import Any

import keras

from layerwise.finder import global_states
from layerwise.keras._internals.hooks import number_in
from layerwise.keras._internals.training import (
    global_seed_generator,
    set_global_seed_generator,
    tensorflow_generator,
    tensorflow_op_seeds,
)


class RandomStates:
    """The global random states now, and those of some generators of PyTorch.

    Args:
        generators: Objects with ``get_state`` and ``set_state`` of PyTorch, such as the generator
            of a ``DataLoader``.
    """

    def __init__(self, generators: tuple[Any, ...] = ()) -> None:
        self._torch_generators = generators
        self.renew()

    def renew(self) -> None:
        """Remember the states of now in place of those."""
        self._host = global_states()
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
        """Set them as they were."""
        self._host()
        set_global_seed_generator(self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)
        for generator, state in self._generators:
            generator.set_state(state)
        backend = keras.backend.backend()
        if backend == "tensorflow":
            generator, state = self._tensorflow
            if generator is not None:
                generator.state.assign(state)
            if self._op_seeds is not None:
                tensorflow_op_seeds().setstate(self._op_seeds)
        elif backend == "torch":
            import torch

            torch.set_rng_state(self._torch)
            if self._cuda:
                torch.cuda.set_rng_state_all(self._cuda)
