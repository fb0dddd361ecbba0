"""What a search found: the curve, the suggestion, and why."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, get_args

from layerwise import _show
from layerwise._checks import choice, number, version, whole
from layerwise._text import shown
from layerwise.errors import ConfigError, FinderError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

V = TypeVar("V")

Method = Literal["probe", "sweep"]
Stopped = Literal["diverged", "reached the upper rate", "data ended", "stopped by the user"]
"""Why a sweep ended.

Examples:
    >>> from layerwise.finder import QuadraticTrainer, Stopped, search
    >>> stopped: Stopped = search(QuadraticTrainer(), iter(range(50)), progress=False).stopped
    >>> stopped
    'data ended'
"""

VERSION = 2

# The fields of a finding, by what its config makes of them.
_CURVES = ("rates", "losses", "smoothed")
_ANSWER = ("stopped", "suggestion", "method", "reason", "updates", "schedule")
_MAPPINGS = ("candidates", "group_factors")


class ReadOnly(dict[str, V]):
    """A dictionary that can't be changed; JSON, pickle and copies take it.

    Raises:
        TypeError: It is changed.
    """

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("It is read-only; dict() makes a copy of it that can be changed.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type, tuple[dict[str, V]]]:
        return type(self), (dict(self),)


@dataclass(frozen=True)
class Probe:
    """A short training from the start of the search.

    Attributes:
        rate: The base rate.
        score: The loss that it ended with; infinite if training broke.
        updates: The number of updates that it took.

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


@dataclass(frozen=True)
class Suggestion:
    """What a method answers.

    Attributes:
        rate: The base rate to train with, or None.
        reason: Why, in words.
        probes: The short trainings that the answer rests on.
        updates: The number of updates that they took.
    """

    rate: float | None
    reason: str
    probes: tuple[Probe, ...] = ()
    updates: int = 0


@dataclass(frozen=True, repr=False)
class LRFinding:
    """The result of a search for a learning rate. It is immutable.

    Attributes:
        rates: The base rates of the sweep, rising.
        losses: The loss of each batch of the sweep, from before its update.
        smoothed: The losses, smoothed.
        stopped: Why the sweep ended: ``"diverged"``, ``"reached the upper rate"``,
            ``"data ended"`` or ``"stopped by the user"``.
        suggestion: The base rate to train with, or None if there is no honest answer.
        method: How it was found: ``"probe"``, or ``"sweep"`` from the curve alone.
        reason: Why this rate, or why none, in words.
        candidates: What the classical rules suggest, by name; None where a rule has no answer.
        probes: The short trainings that the suggestion rests on.
        updates: The number of updates of the whole search.
        group_factors: The factor of each group's rate on the base rate, by name.
        schedule: For which training the suggestion is: one whose rate is ``"falling"`` to 0, or
            ``"constant"``, or the schedule that it follows, as text.

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
    method: Method
    reason: str
    candidates: Mapping[str, float | None] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    updates: int = 0
    group_factors: Mapping[str, float] = field(default_factory=dict)
    schedule: str = "falling"

    def __post_init__(self) -> None:
        # Read-only copies: a change to the caller's mapping doesn't reach the finding.
        for name in _MAPPINGS:
            object.__setattr__(self, name, ReadOnly(getattr(self, name)))

    __hash__ = None  # type: ignore[assignment]  # a mapping has no hash

    @property
    def group_rates(self) -> dict[str, float]:
        """Each group's rate at the suggested base rate; empty without a suggestion."""
        if self.suggestion is None:
            return {}
        return {name: self.suggestion * factor for name, factor in self.group_factors.items()}

    def rate_or(self, default: float | None = None) -> float:
        """The suggested base rate, or a rate of your own if there is no suggestion.

        ``suggestion`` is None where no rate can honestly be suggested, and no optimizer takes
        that.

        Args:
            default: The rate to train with then, above 0. None: it is an error.

        Returns:
            A rate to give to an optimizer.

        Raises:
            FinderError: There is neither a suggestion nor a default; the message has the reason.
                Or the default is no number above 0.

        Examples:
            >>> from layerwise.finder import QuadraticTrainer, search
            >>> still = search(QuadraticTrainer(curvatures=(0.0,)), range(100), progress=False)
            >>> still.suggestion, still.rate_or(1e-3)
            (None, 0.001)
        """
        return rate_or(self.suggestion, default, self.reason)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss over the rate, with the suggestion and the classical ones.

        Args:
            ax: Axes of Matplotlib to draw on; by default those of a new figure.

        Returns:
            The axes.
        """
        return _show.finding_curves(self, ax)

    def to_config(self) -> dict[str, Any]:
        """Everything as plain data for JSON; numbers that are not finite become text."""
        return {
            "layerwise": "finding",
            "version": VERSION,
            **{name: list(map(_number, getattr(self, name))) for name in _CURVES},
            **{name: getattr(self, name) for name in _ANSWER},
            **{name: dict(getattr(self, name)) for name in _MAPPINGS},
            "probes": [[_number(p.rate), _number(p.score), p.updates] for p in self.probes],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "LRFinding":
        """The finding that ``to_config`` described.

        Raises:
            ConfigError: It describes no finding, or one of another version.
        """
        with reading_config(config, "finding", VERSION):
            values: dict[str, Any] = {n: tuple(map(float, config[n])) for n in _CURVES}
            if len(set(map(len, values.values()))) > 1:
                raise ValueError("The curves must be of one length.")
            values |= {name: as_text(config[name]) for name in ("reason", "schedule")}
            values["suggestion"] = optional_number(config["suggestion"])
            values["candidates"] = _named(config["candidates"], optional_number)
            values["group_factors"] = _named(config["group_factors"], float)
            values["probes"] = tuple(
                Probe(float(r), float(s), whole(n, "updates", ConfigError))
                for r, s, n in config["probes"]
            )
            values["updates"] = whole(config["updates"], "updates", ConfigError)
            values["stopped"] = choice(config["stopped"], "stopped", ConfigError, get_args(Stopped))
            values["method"] = choice(config["method"], "method", ConfigError, get_args(Method))
            return cls(**values)

    def _repr_html_(self) -> str:
        """The answer and the curve, for notebooks."""
        return _show.finding_html(self)

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


def rate_or(found: float | None, default: float | None, reason: str) -> float:
    """A rate that was found, or a default.

    Args:
        found: The rate, or None.
        default: The rate in its place, above 0, or None.
        reason: Why there is none.

    Raises:
        FinderError: There is neither, or the default is no number above 0.
    """
    if default is not None:
        default = number(default, "default", FinderError, above=0.0)
    if found is not None:
        return found
    if default is None:
        raise FinderError(
            f"The search suggests no rate: {reason} Give a rate of your own, "
            "finding.rate_or(1e-3), or search again with other options."
        )
    return default


def as_text(value: object) -> str:
    """A text in a config.

    Raises:
        TypeError: It isn't a text.
    """
    if not isinstance(value, str):
        raise TypeError(f"A text must be a string, got {shown(value)}.")
    return value


def optional_number(value: Any) -> float | None:
    """A number in a config, or None.

    Raises:
        TypeError, ValueError: It is neither.
    """
    return None if value is None else float(value)


def _named(values: Mapping[str, Any], made: Callable[[Any], V]) -> dict[str, V]:
    return {as_text(name): made(value) for name, value in values.items()}


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _ended(stopped: Stopped) -> str:
    return stopped if stopped in ("diverged", "reached the upper rate") else f"ended ({stopped})"


@contextmanager
def reading_config(config: object, kind: str, known: int) -> Iterator[None]:
    """While the block runs, whatever is wrong with the config of a finding is a ``ConfigError``.

    Args:
        config: The config.
        kind: What its ``"layerwise"`` has to be.
        known: The version that can be read.

    Raises:
        ConfigError: It is no such config, of another version, or damaged.
    """
    if not isinstance(config, Mapping) or config.get("layerwise") != kind:
        raise ConfigError(f"This is not the config of a finding ({kind!r}): {str(config)[:80]}")
    version(config.get("version"), "The config of this finding", ConfigError, known)
    try:
        yield
    except ConfigError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"The config of this finding is damaged: {error!r}") from error
