"""The options of a search: documented and checked here, once, for ``search`` and every ``find_lr``.

A ``find_lr`` takes them as keywords, ``**options: Unpack[SearchKeywords]``, and makes a
``SearchOptions`` of them first (``options_from``). A value that can't be honoured raises
``FinderError`` before anything is touched, and an unknown keyword raises ``TypeError``. It passes
the object on to ``search(trainer, batches, options)``. ``search`` also takes keywords, for those
who call it with a trainer of their own; they override the values of the object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypedDict, TypeVar, get_args

import numpy as np

from layerwise._checks import choice, number, whole
from layerwise._text import shown
from layerwise.errors import FinderError
from layerwise.finder._course import Course, check_course
from layerwise.finder._curve import Floats
from layerwise.finder._finding import Method
from layerwise.finder._sweep import StopName, StopRule, stop_rule

PROBING = 2  # times the sweep's updates, at most
LONG_PROBING = 4  # the same, before a training that is known to be long
SHARE = 4  # of a long training's updates, a quarter

Spacing = Literal["geometric", "linear"]
Memory = Literal["device", "host"]


class SearchKeywords(TypedDict, total=False):
    """The options as keyword arguments; ``SearchOptions`` says what each of them means.

    Examples:
        >>> from typing import Unpack
        >>> def find_lr(model: object, **options: Unpack[SearchKeywords]) -> SearchOptions:
        ...     return SearchOptions(**options)
        >>> find_lr("a model", steps=50).rates.shape
        (50,)
    """

    low: float
    high: float
    steps: int
    spacing: Spacing
    method: Method
    horizon: int | None
    schedule: Course | None
    stop: StopName | StopRule
    smoothing: float
    memory: Memory
    accumulate: int | None
    progress: bool


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    r"""How to search for a learning rate. The values are checked when it is made.

    The sweep trains one update at each of ``steps`` rates, from $i = 0$ on. With geometric spacing,

    $$\text{rate}_i = \text{low} \cdot (\text{high} / \text{low})^{i / (\text{steps} - 1)}$$

    and with linear spacing,

    $$\text{rate}_i = \text{low} + (\text{high} - \text{low}) \cdot i / (\text{steps} - 1)$$

    Attributes:
        low: The sweep's first rate, above 0.
        high: The sweep's last rate, above ``low``.
        steps: The number of updates of the sweep, at least 10. Probes take at most twice as many,
            and up to four times as many before a long training (``horizon``).
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"`` to try a few rates in short trainings after the sweep, or ``"sweep"``
            to read the rate off the sweep's curve alone.
        horizon: The number of updates of the training to come, at least 1, if it is known. Probes
            are never longer than that. For 8 times ``steps`` or more they take up to a quarter of
            it, at most 4 times ``steps``.
        schedule: How the rate of the training to come goes, which decides how high it may be:
            ``"falling"`` to 0; ``"constant"``; or a schedule of Layerwise, which is a factor on
            the base rate. None: what the optimizer or its scheduler says, and ``"falling"`` where
            they say nothing. An endless schedule needs ``horizon``.
        stop: When the sweep ends early: ``"diverged"``, ``"doubled"`` (above twice the first
            loss), ``"never"``, or a function that gets the smoothed losses so far.
        smoothing: The width of the curve's smoothing in points, at least 0. What the curve suggests
            is where probes begin, and the answer of ``method="sweep"``.
        memory: Where ``find_lr`` keeps the copy of model and optimizer: ``"device"``, beside the
            original, or ``"host"``.
        accumulate: How many batches ``find_lr`` puts into one update, and so into one point of
            the curve, at least 1; by default as many as the optimizer is known to take, else 1.
        progress: Whether to show how far it is, on standard error: a bar in a terminal, else a line
            every ten seconds.

    Raises:
        FinderError: A value is out of its range.

    Examples:
        >>> SearchOptions(low=1e-4, high=1.0, steps=13).rates[::3].round(4)
        array([1.e-04, 1.e-03, 1.e-02, 1.e-01, 1.e+00])
    """

    low: float = 1e-7
    high: float = 10.0
    steps: int = 100
    spacing: Spacing = "geometric"
    method: Method = "probe"
    horizon: int | None = None
    schedule: Course | None = None
    stop: StopName | StopRule = "diverged"
    smoothing: float = 2.0
    memory: Memory = "device"
    accumulate: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        checked = {
            "low": number(self.low, "low", FinderError, above=0.0),
            "high": number(self.high, "high", FinderError, above=0.0),
            "steps": whole(self.steps, "steps", FinderError, at_least=10),
            "spacing": choice(self.spacing, "spacing", FinderError, get_args(Spacing)),
            "method": choice(self.method, "method", FinderError, get_args(Method)),
            "memory": choice(self.memory, "memory", FinderError, get_args(Memory)),
            "smoothing": number(self.smoothing, "smoothing", FinderError),
        }
        keep_checked(self, checked, ("horizon", "accumulate"))
        stop_rule(self.stop)
        if self.schedule is not None:
            check_course(self.schedule, self.horizon)
            if self.method == "sweep":
                raise FinderError(
                    f"schedule={shown(self.schedule)} must be left out with method='sweep': the "
                    "curve of a sweep doesn't know the shape of a training, and probes do."
                )
        check_range(self.low, self.high)

    def probing(self, training: int | None) -> int:
        """The most updates of all probes: more before a long training, which is worth it.

        Args:
            training: The number of updates of the training, if it is known.

        Examples:
            >>> [SearchOptions().probing(training) for training in (None, 1200, 90_000)]
            [200, 300, 400]
        """
        share = (training or 0) // SHARE
        return min(max(PROBING * self.steps, share), LONG_PROBING * self.steps)

    @property
    def asks_optimizer(self) -> bool:
        """Whether the shape of the training is to be read from the optimizer."""
        return self.schedule is None and self.method == "probe"

    @property
    def rates(self) -> Floats:
        """The rates of the sweep, rising, shape ``(steps,)``."""
        make = np.geomspace if self.spacing == "geometric" else np.linspace
        return np.asarray(make(self.low, self.high, self.steps), np.float64)


Options = TypeVar("Options")


def options_from(kind: type[Options], keywords: Mapping[str, object], caller: str) -> Options:
    """Options from keyword arguments.

    Args:
        kind: The class of the options.
        keywords: The arguments.
        caller: The function that got them.

    Raises:
        FinderError: A value can't be honoured.
        TypeError: There is no such option.

    Examples:
        >>> options_from(SearchOptions, {"validation_data": None}, "find_lr")
        Traceback (most recent call last):
        ...
        TypeError: find_lr() has no option 'validation_data'. Data to compare rates on is held_out=.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in keywords:
        if name not in known:
            others = f"Its options are {', '.join(known)}."
            meant = "Data to compare rates on is held_out=." if name.startswith("val") else others
            raise TypeError(f"{caller}() has no option {name!r}. {meant}")
    return kind(**keywords)


def keep_checked(options: object, checked: Mapping[str, object], counts: Sequence[str]) -> None:
    """Set fields of frozen options to their checked values.

    Args:
        options: The options.
        checked: The values by name.
        counts: Fields that may be None, or whole numbers of at least 1, which are checked here.

    Raises:
        FinderError: One of these is neither.
    """
    given = {name: value for name in counts if (value := getattr(options, name)) is not None}
    whole_ones = {n: whole(value, n, FinderError, at_least=1) for n, value in given.items()}
    for name, value in {**checked, **whole_ones}.items():
        object.__setattr__(options, name, value)


def check_range(low: float, high: float) -> None:
    """Raise unless a sweep can go from one rate up to the other.

    Raises:
        FinderError: It can't.
    """
    if not low < high:
        raise FinderError(
            f"low={low!r} must be below high={high!r}: a sweep goes from a rate that is too low to "
            "one that is too high."
        )
