"""Every random generator that training may draw from, set back after a search."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import ModuleType
from typing import TypeAlias, TypeGuard

import torch

from layerwise.finder import HostGenerator, generator_state, global_states

Generator: TypeAlias = torch.Generator | HostGenerator
"""A random generator of PyTorch, NumPy or Python."""

_PARTS = ("sampler", "batch_sampler", "dataset", "transform")
_DEPTH = 4


def is_generator(value: object) -> TypeGuard[Generator]:
    """Whether it is a random generator of PyTorch, NumPy or Python."""
    return isinstance(value, torch.Generator | HostGenerator)


def state_of(generator: Generator) -> Callable[[], object]:
    """Remember the state of a random generator; the result sets it back."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    return generator_state(generator)


def random_states(devices: Iterable[torch.device], loaders: Iterable[object]) -> Callable[[], None]:
    """Remember the random states of Python, NumPy, PyTorch and loaders; the result sets them back.

    Args:
        devices: The devices that are computed on.
        loaders: Where batches come from; the generators of their samplers and their data count.
    """
    kinds = {device.type for device in devices} - {"cpu", "meta"}
    restores: list[Callable[[], object]] = [
        global_states(),
        partial(torch.set_rng_state, torch.get_rng_state()),
        *(_device_state(torch.get_device_module(kind)) for kind in kinds),
        *(state_of(generator) for loader in loaders for generator in _generators(loader)),
    ]

    def restore() -> None:
        for each in restores:
            each()

    return restore


def _device_state(module: ModuleType) -> Callable[[], object]:
    if hasattr(module, "get_rng_state_all"):
        return partial(module.set_rng_state_all, module.get_rng_state_all())
    return partial(module.set_rng_state, module.get_rng_state())


def _generators(thing: object, depth: int = 0) -> Iterator[Generator]:
    inside = getattr(thing, "__dict__", {})
    yield from filter(is_generator, inside.values())
    if depth < _DEPTH:
        for name in _PARTS:
            if name in inside:
                yield from _generators(inside[name], depth + 1)
