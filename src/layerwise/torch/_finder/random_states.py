"""Where every random generator is that training may draw from."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from layerwise.finder import HostGenerator, generator_state, global_states

_PARTS = ("sampler", "batch_sampler", "dataset", "transform")
_DEPTH = 4


def is_generator(value: Any) -> bool:
    """Whether it is a random generator of PyTorch, NumPy or Python."""
    return isinstance(value, torch.Generator | HostGenerator)


def state_of(generator: Any) -> Callable[[], None]:
    """Keep where a random generator is; a function that sets it back to there."""
    if isinstance(generator, torch.Generator):
        state = generator.get_state()

        def put() -> None:
            generator.set_state(state)

        return put
    return generator_state(generator)


def random_states(devices: Iterable[torch.device], loader: Any) -> Callable[[], None]:
    """Keep the random states of Python, NumPy, PyTorch and a loader; a function that sets them.

    Args:
        devices: The devices that are computed on.
        loader: What batches come from; with the generators of its samplers and its data.
    """
    host, cpu = global_states(), torch.get_rng_state()
    others = [_of_device(kind) for kind in {device.type for device in devices} - {"cpu", "meta"}]
    own = [state_of(generator) for generator in _generators(loader)]

    def back() -> None:
        host()
        torch.set_rng_state(cpu)
        for put in (*others, *own):
            put()

    return back


def _of_device(kind: str) -> Callable[[], None]:
    module: Any = torch.get_device_module(kind)
    if hasattr(module, "get_rng_state_all"):
        states = module.get_rng_state_all()
        return lambda: module.set_rng_state_all(states)
    state = module.get_rng_state()
    return lambda: module.set_rng_state(state)


def _generators(thing: Any, depth: int = 0) -> Iterator[Any]:
    inside = getattr(thing, "__dict__", {})
    yield from filter(is_generator, inside.values())
    if depth < _DEPTH:
        for name in _PARTS:
            if name in inside:
                yield from _generators(inside[name], depth + 1)
