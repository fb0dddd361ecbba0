"""What a method suggests: a rate or none, and why."""

from dataclasses import dataclass

from layerwise.finder._finding import Probe


@dataclass(frozen=True)
class Suggestion:
    """A method's answer.

    Attributes:
        rate: The base rate to train with, or None.
        reason: Why, in words.
        probes: The short trainings that it rests on.
        updates: How many updates they cost.
    """

    rate: float | None
    reason: str
    probes: tuple[Probe, ...] = ()
    updates: int = 0
