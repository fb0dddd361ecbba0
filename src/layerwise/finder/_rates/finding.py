"""What a search for rates found: the base rate, rules, and why."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from layerwise import _show
from layerwise._checks import choice, whole
from layerwise.errors import ConfigError
from layerwise.finder._finding import (
    ReadOnly,
    as_text,
    optional_number,
    rate_or,
    reading_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

Ended = Literal["finished", "stopped by the user"]
"""Why a search for rates ended.

Examples:
    >>> from layerwise.finder import Ended
    >>> ended: Ended = "finished"
"""

VERSION = 1


@dataclass(frozen=True)
class RatesProbe:
    """A short training at a rate for each band.

    Attributes:
        rate: The base rate.
        tilt: The tilt that the multipliers come from.
        multipliers: The multiplier of each band.
        division: The number of the division that it was trained and scored on.
        score: The held-out loss that it ended with; infinite if training broke or was stopped.
        train_loss: The mean loss of the last tenth of its batches; infinite likewise.
        slopes: By how much the score changes with the logarithm of each band's rate; empty where
            it was not measured, None for a band that did not move.
        updates: The number of updates that it took.

    Examples:
        >>> probe = RatesProbe(
        ...     0.1, 1.0, (1.0, 1.0), 0, score=0.5, train_loss=0.4, slopes=(), updates=96
        ... )
        >>> probe.rates
        (0.1, 0.1)
    """

    rate: float
    tilt: float
    multipliers: tuple[float, ...]
    division: int
    score: float
    train_loss: float
    slopes: tuple[float | None, ...]
    updates: int

    @property
    def rates(self) -> tuple[float, ...]:
        """The rate of each band."""
        return tuple(self.rate * multiplier for multiplier in self.multipliers)


@dataclass(frozen=True)
class Band:
    """A band of layers, and what was found for it.

    Attributes:
        name: What it consists of, in short.
        parameters: The names of its parameters.
        multiplier: Its multiplier.
        low: The lowest multiplier among the tilts that are as good within the error.
        high: The highest of these.
        slope: By how much the held-out loss changes with the logarithm of its rate, as the mean
            over the probes at this tilt for which it was measured; below 0, a higher rate would
            lower the loss. None where it was not measured.
        slope_error: The standard error of that, or None if it was measured once at most.

    Examples:
        >>> Band("head", ("head/kernel",), multiplier=1.0, low=1.0, high=1.0).multiplier
        1.0
    """

    name: str
    parameters: tuple[str, ...]
    multiplier: float
    low: float
    high: float
    slope: float | None = None
    slope_error: float | None = None


@dataclass(frozen=True, repr=False)
class RatesFinding:
    """The result of a search for a rate for each band of layers. It is immutable.

    Attributes:
        learning_rate: The base rate to train with, or None if there is no honest answer.
        rules: The multipliers by name, for ``LRMultiplier``, ``param_groups`` and
            ``with_multipliers``; empty where one rate is as good.
        reason: Why, in words.
        bands: The bands from input to head, with their multipliers.
        tilt: The multiplier from one band to the one below it; 1 for one rate, 0 for the head
            alone.
        single_rate: The best rate for all bands together, or None.
        gain: The share by which the held-out loss of the best tilt is below that of the best single
            rate, after smoothing. Where the answer is one rate, it was too small, or not sure. If
            some losses are not above 0, it is a share of the largest gain.
        gain_error: The standard error of the gain.
        probes: The short trainings that the answer rests on.
        untrained: The held-out loss of each division without training. If training at the rate 0
            changes that loss, as BatchNorm's statistics do, the change is included, as it was
            measured on the first division.
        training: Which training the rates are for, in words.
        updates: The number of updates of the whole search; scoring as many batches as an update
            takes counts as one.
        ended: ``"finished"``, or ``"stopped by the user"``.

    Examples:
        >>> found = RatesFinding(
        ...     0.01, {"body": 0.3}, "It was lowest.", (), 0.3, 0.02, 0.1, 0.03, (), (), "", 96
        ... )
        >>> RatesFinding.from_config(found.to_config()) == found
        True
    """

    learning_rate: float | None
    rules: Mapping[str, float]
    reason: str
    bands: tuple[Band, ...]
    tilt: float
    single_rate: float | None
    gain: float
    gain_error: float
    probes: tuple[RatesProbe, ...]
    untrained: tuple[float, ...]
    training: str
    updates: int
    ended: Ended = "finished"

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", ReadOnly(self.rules))

    __hash__ = None  # type: ignore[assignment]  # a mapping has no hash

    @property
    def rates(self) -> dict[str, float]:
        """The rate of each band, by its name; empty without an answer."""
        if self.learning_rate is None:
            return {}
        return {band.name: self.learning_rate * band.multiplier for band in self.bands}

    def rate_or(self, default: float | None = None) -> float:
        """The base rate, or a rate of your own if there is no answer.

        Args:
            default: The rate to train with then, above 0. None: it is an error.

        Returns:
            A rate to give to an optimizer.

        Raises:
            FinderError: There is neither an answer nor a default; the message has the reason. Or
                the default is no number above 0.
        """
        return rate_or(self.learning_rate, default, self.reason)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the multiplier of each band as a bar, with the range that is as good.

        Args:
            ax: Axes of Matplotlib to draw on; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LayerwiseError: The finding has no bands.
        """
        return _show.rates_bars(self, ax)

    def heat_map(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the scores of the probes over base rate and tilt.

        Args:
            ax: Axes of Matplotlib to draw on; by default those of a new figure.

        Returns:
            The axes.

        Raises:
            LayerwiseError: The finding has no probes.
        """
        return _show.rates_heat_map(self, ax)

    def to_config(self) -> dict[str, Any]:
        """Everything as plain data for JSON; numbers that are not finite become text."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"bands": list(map(asdict, self.bands)), "probes": list(map(asdict, self.probes))}
        return {"layerwise": "rates", "version": VERSION, **_plain(values)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "RatesFinding":
        """The finding that ``to_config`` described.

        Raises:
            ConfigError: It describes no such finding, or one of another version.
        """
        with reading_config(config, "rates", VERSION):
            values = {f.name: config[f.name] for f in fields(cls)}
            values |= {name: as_text(config[name]) for name in ("reason", "training")}
            values["rules"] = {as_text(key): float(m) for key, m in config["rules"].items()}
            values["bands"] = tuple(_band(band) for band in config["bands"])
            values["probes"] = tuple(_probe(probe) for probe in config["probes"])
            values["untrained"] = tuple(map(float, config["untrained"]))
            values |= {name: float(config[name]) for name in ("gain", "gain_error", "tilt")}
            values |= {n: optional_number(config[n]) for n in ("learning_rate", "single_rate")}
            values["updates"] = whole(config["updates"], "updates", ConfigError)
            values["ended"] = choice(config["ended"], "ended", ConfigError, get_args(Ended))
            return cls(**values)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Table]":
        yield _show.rates_table(self, options.max_width)

    def __str__(self) -> str:
        return _show.rates_text(self)

    def _repr_html_(self) -> str:
        """The bands as a table for notebooks."""
        return _show.rates_html(self)

    def __repr__(self) -> str:
        rate = "None" if self.learning_rate is None else f"{self.learning_rate:.3g}"
        return (
            f"RatesFinding(learning_rate={rate}, rules={dict(self.rules)!r}, "
            f"{len(self.probes)} probes, {self.updates} updates)"
        )


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise TypeError(f"names must be a list of texts, got {values!r}")
    return tuple(values)


def _band(values: Mapping[str, Any]) -> Band:
    given: dict[str, Any] = {"name": as_text(values["name"])}
    given["parameters"] = _names(values["parameters"])
    given |= {name: float(values[name]) for name in ("multiplier", "low", "high")}
    given |= {name: optional_number(values[name]) for name in ("slope", "slope_error")}
    return Band(**{**values, **given})


def _probe(values: Mapping[str, Any]) -> RatesProbe:
    given: dict[str, Any] = {
        name: float(values[name]) for name in ("rate", "tilt", "score", "train_loss")
    }
    given |= {n: whole(values[n], n, ConfigError) for n in ("division", "updates")}
    given["multipliers"] = tuple(map(float, values["multipliers"]))
    given["slopes"] = tuple(map(optional_number, values["slopes"]))
    return RatesProbe(**{**values, **given})


def _plain(value: Any) -> Any:
    """Plain data, in which numbers that are not finite are text."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
