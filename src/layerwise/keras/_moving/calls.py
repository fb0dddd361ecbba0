"""How often a method that updates several variables at once is called, and with which rates."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import keras

from layerwise.keras._internals.values import Tensor
from layerwise.keras._moving.factors import Factors


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        rate: The factor on the rate; None is 1.
        decay: The factor on the weight decay, likewise.
        members: The numbers of the variables that it gets.
        allowed: Gives a context in which the method takes such a rate.
    """

    rate: Tensor | float | None
    decay: Tensor | float | None
    members: list[int]
    allowed: Callable[[], AbstractContextManager[object]] = nullcontext


def calls(
    method: Callable[..., object], factors: Factors, places: Sequence[int], *, decaying: bool
) -> list[Call]:
    """The calls of a method that gives all variables it gets the same rate and weight decay.

    There is one for each different rate; but one of Keras' own for PyTorch takes all rates at once.

    Args:
        method: The method.
        factors: The factors at this step.
        places: The places of the variables.
        decaying: Whether the method reads the weight decay, so that variables with different
            factors on it are kept apart.
    """
    rates = [factors.factor(place) for place in places]
    keys = [factors.key(place) for place in places]
    together = len(set(keys)) > 1 and _takes_each(method, rates)
    groups: dict[object, list[int]] = {}
    for number, (place, key) in enumerate(zip(places, keys, strict=True)):
        decay = factors.decay_key(place) if decaying else None
        groups.setdefault((None if together else key, decay), []).append(number)
    if not together:
        return [Call(rates[m[0]], factors.decay(places[m[0]]), m) for m in groups.values()]
    from layerwise.keras._internals.torch_rates import ForeachMode, in_one

    return [
        Call(in_one([rates[n] for n in m]), factors.decay(places[m[0]]), m, ForeachMode)
        for m in groups.values()
    ]


def _takes_each(method: Callable[..., object], rates: Sequence[Tensor | float | None]) -> bool:
    if keras.backend.backend() != "torch":
        return False
    from layerwise.keras._internals.torch_rates import takes_each

    return takes_each(method, rates)
