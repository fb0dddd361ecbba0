"""What a search found: the curve, the suggestion, and why."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from layerwise import _show
from layerwise.errors import ConfigError
from layerwise.finder._sweep.sweep import Stopped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VERSION = 1


@dataclass(frozen=True)
class Probe:
    """A short training at one rate.

    Attributes:
        rate: Its base rate.
        score: The loss that it ended with; infinite if it diverged.
        updates: How many updates it took.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer, search
        >>> found = search(QuadraticTrainer(), range(100), progress=False)
        >>> best = min(found.probes, key=lambda probe: probe.score)
        >>> 0.1 < best.rate < 2
        True
    """

    rate: float
    score: float
    updates: int


@dataclass(frozen=True, repr=False)
class LRFinding:
    """The result of a search for a learning rate. It can't be changed.

    Attributes:
        rates: The base rates of the sweep, rising.
        losses: The loss of each batch of the sweep, from before its update.
        smoothed: The same losses, smoothed.
        stopped: Why the sweep ended: ``"diverged"``, ``"reached the upper rate"``,
            ``"data ended"`` or ``"stopped by the user"``.
        suggestion: The base rate to train with, or None if there is no honest answer.
        method: How it was found: ``"probe"``, or ``"sweep"`` from the curve alone.
        reason: Why this rate, or why none, in words.
        candidates: The classical suggestions beside it, by name; None where a rule has no answer.
        probes: The short trainings that the suggestion rests on.
        updates: All updates that the search cost.
        group_factors: By what each group's rate is multiplied, by name.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer, search
        >>> found = search(QuadraticTrainer(), range(100), method="sweep", progress=False)
        >>> found.stopped
        'diverged'
        >>> LRFinding.from_config(found.to_config()) == found
        True
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    stopped: Stopped
    suggestion: float | None
    method: str
    reason: str
    candidates: Mapping[str, float | None] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    updates: int = 0
    group_factors: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies that can't be written to: the caller's own stay his.
        for name in ("candidates", "group_factors"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    __hash__ = None  # type: ignore[assignment]  # a mapping inside has no hash

    @property
    def group_rates(self) -> dict[str, float]:
        """Each group's rate when the base is the suggestion; empty without one."""
        if self.suggestion is None:
            return {}
        return {name: self.suggestion * factor for name, factor in self.group_factors.items()}

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Loss over the rate, raw and smoothed, with the suggestion and the classical ones.

        Args:
            ax: Axes of Matplotlib to draw on; by default a new figure's.

        Returns:
            The axes.
        """
        return _show.finding_curves(self, ax)

    def to_config(self) -> dict[str, Any]:
        """Everything as plain data that JSON takes; what is not finite becomes text."""
        config: dict[str, Any] = {"layerwise": "finding", "version": VERSION}
        for name in ("rates", "losses", "smoothed"):
            config[name] = [_number(value) for value in getattr(self, name)]
        for name in ("stopped", "suggestion", "method", "reason", "updates"):
            config[name] = getattr(self, name)
        config["candidates"] = dict(self.candidates)
        config["group_factors"] = dict(self.group_factors)
        config["probes"] = [[_number(p.rate), _number(p.score), p.updates] for p in self.probes]
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LRFinding":
        """The finding that ``to_config`` described.

        Raises:
            ConfigError: It describes no finding, or one of a newer version.
        """
        if dict(config).get("layerwise") != "finding":
            raise ConfigError(f"This is not the config of a finding: {str(config)[:80]}")
        if config.get("version") != VERSION:
            raise ConfigError(
                f"This finding has version {config.get('version')!r}; this Layerwise reads "
                f"version {VERSION}: install a newer one."
            )
        try:
            known: dict[str, Any] = {
                name: tuple(map(float, config[name])) for name in ("rates", "losses", "smoothed")
            }
            for name in ("stopped", "suggestion", "method", "reason", "updates"):
                known[name] = config[name]
            probes = tuple(Probe(float(r), float(s), int(n)) for r, s, n in config["probes"])
            return cls(
                **known,
                candidates=config["candidates"],
                group_factors=config["group_factors"],
                probes=probes,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The config of this finding is damaged: {error!r}") from error

    def __repr__(self) -> str:
        rate = "None" if self.suggestion is None else f"{self.suggestion:.3g}"
        return (
            f"LRFinding(suggestion={rate}, method={self.method!r}, stopped={self.stopped!r}, "
            f"{len(self.rates)} points, {self.updates} updates)"
        )

    def __str__(self) -> str:
        head = "No suggestion" if self.suggestion is None else f"Suggestion: {self.suggestion:.3g}"
        others = ", ".join(
            f"{name} {'none' if rate is None else format(rate, '.3g')}"
            for name, rate in self.candidates.items()
        )
        lines = [f"{head} ({self.method}). {self.reason}"]
        if others:
            lines.append(f"Classical rules: {others}.")
        lines.append(f"The sweep {_ended(self.stopped)} after {len(self.rates)} points.")
        return "\n".join(lines)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _ended(stopped: Stopped) -> str:
    return stopped if stopped in ("diverged", "reached the upper rate") else f"ended ({stopped})"
