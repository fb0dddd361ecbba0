"""A schedule: a frozen value that is called with a step."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from layerwise import _show
from layerwise._checks import MOST_STEPS, choice, number, whole
from layerwise._text import shown
from layerwise.errors import ScheduleError
from layerwise.schedules._backends.lookup import namespace_of, namespaces_of
from layerwise.schedules._backends.namespace import A
from layerwise.schedules._clock import Clock
from layerwise.schedules._config import BUILT_IN, Configurable

_NOTHING: Any = object()
_NO_LENGTH = (
    "it has no steps. Such a piece may only stand among others, as in `warmup(0) >> cosine(90)`, "
    "where it counts for nothing. Leave it out, or give it steps."
)
_HOME = __name__.rpartition(".")[0] + "."

F = TypeVar("F", bound=np.floating[Any])

MOST_LEVELS = 100
"""How deep schedules may be nested: what walks through them, and Python's stack, end there."""

MOST_PARTS = 1_000
"""How many schedules one may be made of, those inside of others counted, too."""

# How tightly the text of a schedule binds, as Python reads it: `a >> b`, then `a * b`, then calls.
ARROW, TIMES, CALL = range(3)


@dataclass(frozen=True, repr=False, eq=False)
class Schedule(Configurable, ABC):
    r"""A pure function of the step, $s \mapsto f(s)$, whose value is a factor on a base rate.

    The step counts the updates applied so far: 0 before the first. A schedule is frozen, hashable
    and equal by value, and it prints as the expression that makes it. Schedules combine:
    ``a >> b`` (a, then b), ``a * b``, ``0.5 * a``, and the methods below.

    For a shape of your own, derive a frozen dataclass from this class and write ``evaluate``, or
    wrap any callable in ``from_function``.

    Examples:
        >>> from layerwise.schedules import cosine, warmup
        >>> schedule = warmup(500) >> cosine(9_500)
        >>> schedule(0), schedule(500), schedule(10_000)
        (0.0, 1.0, 0.0)
        >>> schedule
        warmup(500) >> cosine(9500)
        >>> schedule.length
        10000
    """

    # Makes `array * schedule` call `__rmul__`, where NumPy would multiply item by item.
    __array_ufunc__: ClassVar[None] = None

    _binds: ClassVar[int] = CALL

    # These follow from the fields. They are computed once, when a schedule is made of others.
    _levels: ClassVar[int] = 1
    _count: ClassVar[int] = 1
    _without_steps: ClassVar[bool] = False
    _counters: ClassVar[frozenset[str]] = frozenset()
    _reads_step: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Measure what the schedule is made of, and refuse what is too deep or too large."""
        inner = schedules_in(tuple(vars(self).values()))
        if not inner:
            return
        levels = 1 + max(schedule._levels for schedule in inner)
        if levels > MOST_LEVELS:
            raise ScheduleError(
                f"{type(self).__name__}: schedules must be nested at most {MOST_LEVELS} levels "
                "deep. Join what can be joined, such as `.delay(1).delay(1)` to `.delay(2)`."
            )
        count = 1 + sum(schedule._count for schedule in inner)
        check_count(type(self).__name__, count)
        counters = self._counters.union(*(schedule._counters for schedule in inner))
        self._set(_levels=levels, _count=count, _counters=counters)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith(_HOME) and cls.__name__[0].islower():
            BUILT_IN[cls.__name__] = cls

    @abstractmethod
    def evaluate(self, clock: Clock[A]) -> A:
        """Compute the value with the clock's operations.

        Args:
            clock: Where we are; ``clock.step`` is the step itself, ``clock.xp`` the operations.

        Returns:
            The factor, as floats of the clock's array library.
        """

    @property
    def length(self) -> int | None:
        """The number of steps until the schedule has arrived; None if it never does."""
        return None

    @property
    def counters(self) -> frozenset[str]:
        """The names of what it counts beside updates, such as ``tokens``; see ``by``."""
        return self._counters

    @overload
    def __call__(self, step: float = ..., **counts: float) -> float: ...

    @overload
    def __call__(self, step: np.integer[Any], **counts: object) -> np.float64: ...

    @overload
    def __call__(self, step: F, **counts: object) -> F: ...

    @overload
    def __call__(
        self, step: npt.NDArray[np.integer[Any]], **counts: object
    ) -> npt.NDArray[np.float64]: ...

    @overload
    def __call__(self, step: A, **counts: object) -> A: ...

    def __call__(self, step: object = _NOTHING, **counts: object) -> object:
        """Return the value at a step, or at every step of an array.

        Args:
            step: The number of updates applied so far, 0 before the first: a number, or an array of
                any shape from NumPy, JAX, PyTorch or TensorFlow, traced or not. Below 0 counts as
                0. A schedule that counts no updates may do without.
            counts: What else has been counted so far, by name: ``tokens=4096``. Numbers, or arrays
                of the step's library and shape. What the schedule doesn't count is ignored.

        Returns:
            A Python float for a Python number; otherwise an array of the same library and shape.
            Floats keep their type; integers become NumPy's float64, or the framework's default.

        Raises:
            ScheduleError: If there is no step, it isn't a number, or the schedule has no length; or
                a count is missing.

        Examples:
            >>> import numpy as np
            >>> from layerwise.schedules import linear
            >>> linear(4)(1)
            0.75
            >>> linear(4)(np.arange(6)).tolist()
            [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
        """
        if step is _NOTHING and self._reads_step:
            raise ScheduleError(
                "A schedule needs a step: `schedule(step)`. Keras calls what it doesn't know "
                "without one; give it `layerwise.keras.LearningRateSchedule(schedule)`."
            )
        if self._without_steps:
            raise ScheduleError(f"{shown(self)} has no value: {_NO_LENGTH}")
        if self._counters:
            clock = self._clock_at(step, counts)
            xp = clock.xp
        else:
            xp = namespace_of(step)
            clock = Clock.start(xp)
        try:
            if xp.warns:  # of infinity times 0, say, where other libraries give NaN and are silent
                with np.errstate(over="ignore", invalid="ignore"):
                    return xp.leave(self.evaluate(clock))
            return xp.leave(self.evaluate(clock))
        except OverflowError as error:
            raise ScheduleError(
                f"{shown(self)} can't be computed at step {shown(step)}: {error}. A step must be a "
                "number that a float can hold."
            ) from error

    def _clock_at(self, step: object, counts: Mapping[str, object]) -> Clock[Any]:
        """Make a clock that shows the counts, too."""
        names = sorted(self._counters)
        missing = [name for name in names if name not in counts]
        if missing:
            arguments = ", ".join(f"{name}=n" for name in missing)
            raise ScheduleError(
                f"{shown(self)} counts {' and '.join(missing)}, and updates can't stand for that. "
                f"The count must be given with the step: schedule(step, {arguments})."
            )
        given = {name: counts[name] for name in names}
        if step is not _NOTHING:
            given = {"step": step, **given}
        spaces = namespaces_of(given)
        clocks = {name: Clock.start(xp) for name, xp in spaces.items()}
        first = next(iter(spaces.values()))
        return Clock.start(spaces.get("step", first), clocks)

    def __len__(self) -> int:
        if self.length is None:
            raise TypeError(f"{shown(self)} is endless and has no len(); its .length is None.")
        return self.length

    def __bool__(self) -> bool:
        return True  # without this, Python would ask for len(), which endless schedules lack

    def then(self, other: "Schedule") -> "Schedule":
        """Follow this schedule with another: ``a >> b``. See ``schedules.then``."""
        return _combined("then", (self, other))

    __rshift__ = then

    def __rrshift__(self, other: object) -> "Schedule":
        return _combined("then", (other, self))

    def __mul__(self, other: "Schedule | float") -> "Schedule":
        if isinstance(other, Schedule):
            return _combined("product", (self, other))
        return _combined("product", (self,), other)

    def __rmul__(self, other: float) -> "Schedule":
        return self * other

    def clamp(self, low: float | None = None, high: float | None = None) -> "Schedule":
        """Keep the value between ``low`` and ``high``. See ``schedules.clamp``."""
        return _combined("clamp", self, low, high)

    def delay(self, steps: int) -> "Schedule":
        """Start ``steps`` steps later. See ``schedules.delay``."""
        return _combined("delay", self, steps)

    def skip(self, steps: int) -> "Schedule":
        """Start in the middle, ``steps`` steps later on. See ``schedules.skip``."""
        return _combined("skip", self, steps)

    def repeat(self, times: int | None = None, decay: float = 1.0) -> "Schedule":
        """Start again at the end, ``times`` times in all, or forever. See ``schedules.repeat``."""
        return _combined("repeat", self, times, decay)

    def by(self, counter: str) -> "Schedule":
        """Count something other than updates: ``a.by("tokens")``. See ``schedules.by``."""
        return _combined("by", self, counter)

    def scale_steps(self, factor: float) -> "Schedule":
        """Take ``factor`` times as many steps. See ``schedules.scale_steps``."""
        return _combined("scale_steps", self, factor)

    def cut(self, steps: int) -> "Schedule":
        """Stop after ``steps`` steps and stay there. See ``schedules.cut``."""
        return _combined("cut", self, steps)

    def _repr_html_(self) -> str:
        """The expression and the curve, for notebooks."""
        return _show.schedule_html(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({arguments_text(self, fields(self))})"

    def _inside(self, binds: int) -> str:
        """Return the text, in brackets if its surroundings bind more tightly."""
        return repr(self) if self._binds >= binds else f"({self!r})"

    def _set(self, **values: object) -> None:
        """Set checked values while a frozen schedule is being made."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_whole(self, *names: str, at_least: int = 1) -> None:
        """Make these fields whole numbers. None is left as it is where it is the default."""
        for name, what, value in self._given(names):
            self._set(**{name: whole(value, what, ScheduleError, at_least=at_least)})

    def _check_length(self, name: str) -> None:
        """Make this field, the schedule's length, a whole number; 0 is for a piece of ``>>``."""
        self._check_whole(name, at_least=0)
        if getattr(self, name) == 0:
            self._set(_without_steps=True)

    def _check_number(self, *names: str, **bounds: float | None) -> None:
        """Make these fields finite floats, in the bounds that ``_checks.number`` takes.

        None is left as it is where it is the default.
        """
        for name, what, value in self._given(names):
            self._set(**{name: number(value, what, ScheduleError, **bounds)})

    def _check_choice(self, name: str, *allowed: object) -> None:
        """Check that this field is one of a few values."""
        what = f"{type(self).__name__}: {name}"
        self._set(**{name: choice(getattr(self, name), what, ScheduleError, allowed)})

    def _given(self, names: Sequence[str]) -> Iterator[tuple[str, str, object]]:
        for name in names:
            value = getattr(self, name)
            if value is not None or getattr(type(self), name, MISSING) is not None:
                yield name, f"{type(self).__name__}: {name}", value


def _combined(name: str, *arguments: object) -> Schedule:
    """Make a combinator, looked up by name because it is itself made of schedules."""
    make = cast("Callable[..., Schedule]", BUILT_IN[name])
    return make(*arguments)


def arguments_text(schedule: Configurable, shown: Sequence[Field[Any]]) -> str:
    """Write the fields as arguments: the first one as it is, others by name unless default."""
    texts = []
    for position, field in enumerate(shown):
        value = getattr(schedule, field.name)
        if position == 0 and not field.kw_only:
            texts.append("" if value is None else f"{value!r}")
        elif field.default is MISSING or value != field.default:
            texts.append(f"{field.name}={value!r}")
    return ", ".join(text for text in texts if text)


def check_schedule(
    what: str, value: object, *, among_others: bool = False, moved: bool = True
) -> Schedule:
    """Return a schedule, or raise if ``value`` isn't one.

    Args:
        what: What it is called in the message.
        value: What was given.
        among_others: Whether it stands among others in ``>>``, where it needs no length.
        moved: Whether it gets another clock than the whole, so that it must count updates alone.
    """
    if not isinstance(value, Schedule):
        way_out = " Wrap a function: `from_function(f)`." if callable(value) else ""
        raise ScheduleError(f"{what} must be a schedule, got {shown(value)}.{way_out}")
    if value._without_steps and not among_others:
        raise ScheduleError(f"{what} must have a length, got {shown(value)}: {_NO_LENGTH}")
    if moved and value._counters:
        names = " and ".join(sorted(value._counters))
        raise ScheduleError(
            f"{what} must count updates alone, got {shown(value)}: nobody knows how many {names} "
            "there are at another step. What counts goes outside: (a >> b).by('tokens')."
        )
    return value


def check_count(what: str, count: int) -> None:
    """Refuse a schedule that is made of too many."""
    if count > MOST_PARTS:
        raise ScheduleError(
            f"{what}: a schedule must be made of at most {MOST_PARTS:,} others. `repeat` runs one "
            "again, and `piecewise_constant` takes any number of steps."
        )


def check_joined_length(what: str, length: int | None) -> int | None:
    """Return the length of a schedule made of others, unless no training gets there."""
    if length is not None and length > MOST_STEPS:
        raise ScheduleError(
            f"{what}: the whole length must be at most 2**53 steps, got {shown(length)}."
        )
    return length


def is_built_in(schedule: Schedule) -> bool:
    """Say whether a schedule, and each one inside of it, is of a class of this package."""
    inner = schedules_in(tuple(vars(schedule).values()))
    known = BUILT_IN.get(type(schedule).__name__) is type(schedule)
    return known and all(map(is_built_in, inner))


def schedules_in(value: object) -> list[Schedule]:
    """The schedules in a tuple and the tuples inside it, but not those inside other schedules."""
    if isinstance(value, Schedule):
        return [value]
    if isinstance(value, tuple):
        return [schedule for part in value for schedule in schedules_in(part)]
    return []
