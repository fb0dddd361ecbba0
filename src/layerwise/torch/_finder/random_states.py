"""Every random generator that training may draw from, set back after a search."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from types import ModuleType
from typing import TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from layerwise.finder import HostGenerator, generator_state, global_states

Generator: TypeAlias = torch.Generator | HostGenerator
"""A random generator of PyTorch, NumPy or Python."""

_TRANSFORMS = ("transform", "target_transform", "transforms")
_PARTS = ("sampler", "batch_sampler", "dataset", "collate_fn", *_TRANSFORMS)
"""The attributes of what yields batches that may draw random numbers, of any class."""


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


def _generators(loader: object) -> Iterator[Generator]:
    """The generators of a loader and of all that it draws from, even inside a wrapper."""
    seen, waiting = dict[int, object](), [loader]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        for name, value in getattr(thing, "__dict__", {}).items():
            if is_generator(value):
                yield value
            else:
                waiting.extend(_inside(value, name in _PARTS))


def _inside(value: object, is_part: bool) -> Iterable[object]:
    """What to look into at an attribute: itself, or what is in it."""
    members: Iterable[object] = ()
    if isinstance(value, list | tuple):
        members = value
    elif isinstance(value, dict):
        members = value.values()
    elif is_part or _yields_data(value):
        return (value,)
    # Most lists are long, and of data: their beginning tells.
    some = list(islice(members, 8))
    drawn = any(_yields_data(one) or (is_part and hasattr(one, "__dict__")) for one in some)
    return members if drawn else ()


def _yields_data(value: object) -> bool:
    """Whether it is a part of PyTorch's data pipeline, or an object around one."""
    if isinstance(value, DataLoader | Sampler | Dataset):
        return True
    if isinstance(value, Tensor | nn.Module | type):
        return False
    return hasattr(value, "__iter__") and hasattr(value, "__dict__")
