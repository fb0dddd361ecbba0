"""What others have done to the rates that a ``ScheduleLR`` wrote.

A scheduler that multiplies the rate that it finds, such as ``ReduceLROnPlateau``, composes with one
in closed form: the factor belongs to the base rate from then on. One that sets a rate, such as
``LambdaLR``, would undo it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from layerwise.torch._groups.base_rate import BASE, BASE_DECAY, FACTOR, base_of

BASES = {"initial_lr": "lr", BASE_DECAY: "weight_decay"}
"""Where a group keeps the base of each value that moves."""

# Two groups that were multiplied by one number differ by the rounding of their rates.
_SAME = 1e-6


def mark(rate: float | Tensor) -> object:
    """What tells that a rate has been changed, without waiting for the device that it is on."""
    if isinstance(rate, Tensor):
        return id(rate), 0 if rate.is_inference() else rate._version
    return rate


def bases_of(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, list[float]]]:
    """What the values of each group that move are multiples of, with the values."""
    return [
        {
            base: [float(group[base]), float(group[key])]
            for base, key in BASES.items()
            if base in group
        }
        for group in groups
    ]


def assumed_bases(groups: Sequence[Mapping[str, Any]], known: Sequence[set[str]]) -> list[set[str]]:
    """Which bases of each group are taken from its values, since it doesn't bring them.

    Args:
        groups: The groups.
        known: What is known of the first of them.
    """
    return [*known, *(BASES.keys() - group.keys() for group in groups[len(known) :])]


def bring_bases(
    group: dict[str, Any], assumed: set[str], saved: Mapping[str, Sequence[float]]
) -> None:
    """Give a group the saved bases, where its own were taken from values that were saved with them.

    A distributed checkpoint that is loaded before there is a scheduler drops the bases.
    """
    for key in assumed & saved.keys():
        base, value = saved[key]
        if float(group.get(key, group[BASES[key]])) == value:
            group[key] = base


def stored(rate: float, place: float | Tensor) -> float:
    """A rate as it is once it has been written in place of another."""
    return float(place.new_tensor(rate)) if isinstance(place, Tensor) else rate


def factors_between(
    written: Sequence[float], present: Sequence[float], at_zero: Sequence[bool] | None = None
) -> list[float]:
    """By what each rate was multiplied: infinity where it was 0.

    A rate that was set to 0 counts as unchanged, since a hand may do that for a single step.

    Args:
        written: The rates before.
        present: The rates now.
        at_zero: Whether a scheduler that multiplies has brought each rate to 0, which counts.
    """
    found = []
    zeros = at_zero or [False] * len(present)
    for before, now, counts in zip(written, present, zeros, strict=True):
        if now == before or (now == 0 and not counts):
            found.append(1.0)
        else:
            found.append(now / before if before else math.inf)
    return found


def are_set(factors: Sequence[float], frozen: Sequence[bool], moving: Sequence[bool]) -> bool:
    """Whether rates were set and not multiplied, as far as their multipliers can tell.

    Args:
        factors: By what each group's rate was multiplied.
        frozen: Whether a group's multiplier is 0.
        moving: Whether it has one that moves.
    """
    finite = [
        factor
        for factor, cold in zip(factors, frozen, strict=True)
        if factor != math.inf and not cold
    ]
    return is_thawed(factors, frozen) or (any(moving) and not _are_equal(finite))


def is_thawed(factors: Sequence[float], frozen: Sequence[bool]) -> bool:
    """Whether a group whose multiplier is 0 has been given a rate."""
    return any(cold and factor != 1 for factor, cold in zip(factors, frozen, strict=True))


def factors_on_bases(factors: Sequence[float], written: Sequence[float]) -> list[float]:
    """The factor on each group's base rate.

    A rate of 0 can't show a factor. It takes that of the others, if they have one in common that
    leaves something.
    """
    shown = [factor for factor, rate in zip(factors, written, strict=True) if rate > 0]
    common = shown[0] if shown and _are_equal(shown) and shown[0] else 1.0
    return [factor if rate > 0 else common for factor, rate in zip(factors, written, strict=True)]


def scale_bases(groups: Sequence[dict[str, Any]], factors: Sequence[float]) -> None:
    """Multiply each group's base rate."""
    for group, factor in zip(groups, factors, strict=True):
        if factor != 1:
            group["initial_lr"] = base_of(group) * factor
            if BASE in group:
                group[BASE] *= factor


def raise_bases(groups: Sequence[dict[str, Any]], values: Sequence[float]) -> None:
    """Once a scheduler has raised a rate that it had set to 0, compute the base rate from it.

    Args:
        groups: The groups.
        values: Each rate divided by its base rate.
    """
    for group, value in zip(groups, values, strict=True):
        if value and group["initial_lr"] == 0 < float(group["lr"]):
            group["initial_lr"] = float(group["lr"]) / value
            if BASE in group:
                group[BASE] = group["initial_lr"] / (group.get(FACTOR) or 1.0)


def _are_equal(factors: Sequence[float]) -> bool:
    return not factors or max(factors) - min(factors) <= _SAME * max(factors)
