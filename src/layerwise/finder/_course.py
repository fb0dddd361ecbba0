"""The course of a training's rate, and the probe that stands for such a training.

The best rate depends on how a training ends: a rate that is held to the end leaves its noise in
the weights, and has to be lower than one that goes to 0. So a probe has the shape of the training
that it stands for, squeezed into its length:

- Where the rate is ``"constant"``, it holds its rate to the end.
- Where the rate is ``"falling"``, to 0 in a way that isn't known, it holds its rate for three
  quarters of its length and then lowers it in a straight line (``_probes/probe.py`` says why).
- Where there is a schedule, the warm-up takes the same share of the probe as of the training. What
  comes after the peak is not squeezed evenly. High rates fail slowly, so that a training which is
  many times as long as a probe breaks at rates that the probe survives. The probe makes up for it
  by staying near the peak for longer: at the share $u$ of its length it is at the share $u^k$ of
  the schedule. A probe that is as long as the training has $k = 1$, and is that training; each
  doubling of the training adds 2, up to 6. With that a cosine is held about as long as a falling
  rate. With up to 4 instead, deep networks without normalisation lost more.

No short probe shows how much the noise of a high rate, and its tendency to break a training, grow
until the end of a long training that holds it. On the panel's tuned half (``benchmarks/finder``)
the best rate to hold is lower than that of the probes by about the fourth root of how many times
longer the training is; ``longer_factor`` is that. Where the rate goes to 0, the best rate is the
same, unless a few examples come again and again. A longer training then memorizes them, and the
best rate is lower: on the tuned half of ``benchmarks/rates`` by the square root if probes go
through their data 20 times or more, and by a smaller power the less often they do.
"""

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from layerwise._checks import choice
from layerwise._text import shown
from layerwise.errors import FinderError
from layerwise.finder._curve import Floats
from layerwise.schedules import Schedule, from_function, plateaus_in, values_over

CourseName = Literal["falling", "constant"]
Course: TypeAlias = CourseName | Schedule
"""How the rate of a training goes: by name, or a schedule, which is a factor on the base rate.

Examples:
    >>> from layerwise import cosine, warmup
    >>> from layerwise.finder import Course
    >>> course: Course = warmup(100) >> cosine(900)
"""

HELD = 0.75  # of a probe for a falling rate: the share for which it holds its rate
SLOWER = 2.0  # by which each doubling of the training raises the exponent k
SLOWEST = 6.0  # the highest exponent k
AT_PEAK = 0.99  # of the highest value: the warm-up ends where it is reached
JUMP = 0.05  # of the highest value: a schedule that leaps by more at its end goes on there
WARM_UP = 0.1  # of a training, where only the warm-up is known
LEAPT = 0.75  # of a training: where a schedule makes its last leap, if it goes on after that
ROOT = 0.25  # the power of how many times longer a training is, if it holds its rate
BY_HEART, LEARNT = 20, 0.5  # the power 0.5 holds if probes go through their data 20 times
LONGER = 8  # times as long as a probe: a training of unknown length
END = 0.05  # of a training: its last part, over which its end is measured
NOTHING = 0.05  # of the highest value: so low a rate at the end is as good as 0
_SAMPLES = 200  # of a schedule, at most: the steps at which its values are looked at
_BEYOND = (4_194_301, 6_000_011, 7_777_777, 8_388_593)  # steps that no training here comes to
_FADED = 0.02  # of the highest value: with a mean below that a schedule only fades away

Steps: TypeAlias = npt.NDArray[np.int64]
_SEARCHED: Steps = np.unique(np.geomspace(1, _BEYOND[0] + 1, 400).round().astype(np.int64)) - 1
"""The steps at which a function is asked whether it still changes, each 4 % after the last."""


def probe_factors(course: Course, length: int, horizon: int | None = None) -> Floats:
    """The factors on the base rate with which a probe stands for a training of this course.

    Args:
        course: How the rate of the training goes.
        length: The number of updates of the probe, at least 1.
        horizon: The number of updates of the training, if it is known. A schedule counts from its
            step 0, and need not be at its end by then.

    Returns:
        A factor for each update, shape ``(length,)``. The names have the highest value 1.

    Raises:
        FinderError: The schedule is endless and there is no horizon, or its values make no sense.

    Examples:
        >>> from layerwise import cosine, warmup
        >>> probe_factors("falling", 8).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]
        >>> probe_factors(warmup(200) >> cosine(600), 8, horizon=800).round(2).tolist()
        [0.25, 0.75, 1.0, 1.0, 1.0, 1.0, 0.92, 0.36]
        >>> probe_factors(cosine(4), 4).round(2).tolist()  # the training itself
        [1.0, 0.85, 0.5, 0.15]
    """
    if course == "constant":
        return np.ones(length)
    if course == "falling":
        falling = max(length - round(HELD * length), 1)
        return np.minimum(1.0, (length - np.arange(length)) / falling)
    total = _total(course, horizon)
    warm = _warm_up(course, total)
    done = (np.arange(length) + 0.5) / length  # each update stands for a stretch of the training
    slowness = min(1.0 + SLOWER * math.log2(max(total / length, 1.0)), SLOWEST)
    after = np.clip((done - warm) / (1.0 - warm), 0.0, 1.0) ** slowness
    places = np.where(done < warm, done, warm + (1.0 - warm) * after)
    steps = np.clip(np.round(places * total - 0.5), 0, total - 1).astype(np.int64)
    return _values(course, steps, learns=False)


def longer_factor(
    course: Course, length: int, horizon: int | None = None, *, repeats: float = 0.0
) -> float:
    r"""The factor from the best rate of probes to that of the training, at most 1.

    $$\left(\frac{\text{length}}{\text{horizon}}\right)^{\max(e / 4,\; 0.5 \min(r / 20, 1))}$$

    Here $e$ is the rate at the end of the training as a share of its highest: 1 if it is constant,
    and 0 if it goes to 0; and $r$ is how many times a probe goes through its data.

    Args:
        course: How the rate of the training goes.
        length: The number of updates of a probe, at least 1.
        horizon: The number of updates of the training; if it isn't known, it is that of the
            schedule, or 8 times as long as a probe.
        repeats: How many times a probe goes through its data; 0 if that isn't known.

    Examples:
        >>> from layerwise import linear
        >>> longer_factor("falling", 50, 800), longer_factor("constant", 50, 800)
        (1.0, 0.5)
        >>> round(longer_factor(linear(800, end=0.5), 50), 2)
        0.7
        >>> round(longer_factor("falling", 50, 800, repeats=20), 2)
        0.25
    """
    total = training_length(course, horizon)
    if course == "falling" and total is None:
        return 1.0
    total = total or LONGER * length
    if isinstance(course, str):
        end = 1.0 if course == "constant" else 0.0
    else:
        values = _values(course, _sampled(total))
        end = float(values[-max(round(END * len(values)), 1) :].mean() / values.max())
        end = 0.0 if end < NOTHING else end
    power = max(ROOT * end, LEARNT * min(repeats / BY_HEART, 1.0))
    return float(min(length / total, 1.0) ** power)


def check_course(course: object, horizon: int | None = None) -> Course:
    """Return a course, or say why there is no training of that shape.

    Args:
        course: What was given for ``schedule``.
        horizon: The number of updates of the training, if it is known.

    Raises:
        FinderError: It is neither a name nor a schedule; it counts something other than updates, or
            a metric decides; it has no end and there is no horizon; or its values are negative, not
            finite, or nowhere above 0.

    Examples:
        >>> from layerwise import exponential
        >>> check_course(exponential(0.5, every=100), horizon=400)
        exponential(0.5, every=100)
        >>> check_course("rising")
        Traceback (most recent call last):
        ...
        layerwise.errors.FinderError: schedule must be one of 'falling', 'constant', or a schedule
        of Layerwise, got 'rising'.
    """
    if not isinstance(course, Schedule):
        names = get_args(CourseName)
        if isinstance(course, str) and course in names:
            return choice(course, "schedule", FinderError, names)
        hint = (
            " Wrap a function: `from_function(f, length=...)`."
            if callable(course) and not isinstance(course, type)
            else ""
        )
        raise FinderError(
            f"schedule must be one of {', '.join(map(repr, names))}, or a schedule of Layerwise, "
            f"got {shown(course)}.{hint}"
        )
    if course.counters or plateaus_in([course]):
        moved = "a metric" if plateaus_in([course]) else " and ".join(course.counters)
        raise FinderError(
            f"schedule={shown(course)} is moved by {moved}, and a probe has only updates. Give one "
            "over updates, or 'falling' or 'constant'."
        )
    _values(course, _sampled(_total(course, horizon)))
    return course


def course_text(course: Course) -> str:
    """A course in a few words: its name, or its schedule as it prints.

    Examples:
        >>> from layerwise import cosine, from_function
        >>> course_text("falling"), course_text(cosine(400))
        ('falling', 'cosine(400)')
        >>> course_text(from_function(abs, name="CosineDecay", length=400))
        'CosineDecay of 400 updates'
    """
    if isinstance(course, str):
        return course
    if isinstance(course, from_function) and course.name is not None:
        return course.name if course.length is None else f"{course.name} of {course.length} updates"
    return shown(course)


def way_of(course: Course) -> str:
    """How the rate of a training goes, in words that follow "whose rate".

    Examples:
        >>> from layerwise import cosine
        >>> way_of("falling"), way_of("constant"), way_of(cosine(400))
        ('goes to 0', 'stays as it is', 'follows cosine(400)')
    """
    ways = {"falling": "goes to 0", "constant": "stays as it is"}
    return ways[course] if isinstance(course, str) else f"follows {course_text(course)}"


def end_of(course: Schedule) -> int | None:
    """The step from which a schedule no longer changes; None if it always does.

    A function doesn't say its length, so its values are looked at, at 400 steps. A change that
    lasts less than 1/25 of the steps before it may be missed. A function that only comes nearer and
    nearer to 0, until a float can't tell it from 0, never arrives.

    Examples:
        >>> from layerwise import cosine, exponential, from_function
        >>> end_of(cosine(90)), end_of(exponential(0.9)), end_of(from_function(lambda step: 0.5))
        (90, None, 0)
        >>> end_of(from_function(lambda step: max(1 - step / 400, 0.0)))
        400
    """
    if course.length is not None:
        return course.length
    try:
        late = values_over(course, np.array(_BEYOND))
        if not np.isfinite(late).all() or np.ptp(late) != 0:
            return None
        moving = np.flatnonzero(values_over(course, _SEARCHED) != late[0])
        last = int(moving[-1]) if len(moving) else -1
        low = int(_SEARCHED[last]) if last >= 0 else -1
        high = int(_SEARCHED[last + 1])
        while high - low > 1:  # it moves after `low`, and has arrived at `high`
            middle = (low + high) // 2
            if values_over(course, np.array([middle]))[0] == late[0]:
                high = middle
            else:
                low = middle
        if high == 0:
            return 0
        values = values_over(course, _sampled(high))
    except Exception:  # the caller's function may know only the steps of its training
        return None
    return high if values.mean() > _FADED * max(values.max(), late[0]) else None


def training_length(course: Course, horizon: int | None = None) -> int | None:
    """The number of updates of a training, as far as horizon or schedule say it.

    Examples:
        >>> from layerwise import constant, cosine, warmup
        >>> [training_length(course) for course in ("falling", constant(), cosine(400))]
        [None, None, 400]
        >>> training_length(cosine(400), horizon=300), training_length(warmup(40))
        (300, 400)
    """
    if horizon is not None or isinstance(course, str):
        return horizon
    return None if end_of(course) == 0 else _total(course, horizon)


def known_course(found: Course | None, horizon: int | None = None) -> tuple[Course | None, str]:
    """The course of an optimizer or its scheduler, if a probe can have its shape.

    Args:
        found: What they say, whose ``name`` says what it is; None if they say nothing.
        horizon: The number of updates of the training, if it is known.

    Returns:
        The course, or None where there is none; and what to add to the reason of a finding, if what
        was found can't be searched for.

    Examples:
        >>> from layerwise import cosine, from_function
        >>> known_course(cosine(400))
        (cosine(400), '')
        >>> course, note = known_course(from_function(lambda step: 0.9**step, name="ExponentialLR"))
        >>> course is None, note
        (True, ' ExponentialLR has no end that could be read: pass horizon= to search for it.')
        >>> known_course(cosine(10**6).by("tokens"), horizon=400)[0] is None
        True
    """
    if found is None:
        return None, ""
    if isinstance(found, Schedule) and found.counters:
        return None, (
            f" The schedule of the optimizer, {course_text(found)}, counts "
            f"{' and '.join(sorted(found.counters))}, not updates, and is left out: pass schedule= "
            "with one of updates to search for it."
        )
    if isinstance(found, Schedule) and horizon is None and end_of(found) is None:
        name = course_text(found)
        return None, (
            f" {name[:1].upper()}{name[1:]} has no end that could be read: pass horizon= to search "
            "for it."
        )
    try:
        return check_course(found, horizon), ""
    except Exception as error:  # a function of the caller's may raise anything
        return None, f" The schedule of the optimizer is left out: {error}"


def course_to_search(
    wanted: Course | None, found: Course | None, horizon: int | None = None
) -> tuple[Course, str]:
    """The course of the training that a search is for, and what to add to the reason of its result.

    Args:
        wanted: The course that the caller asked for, or None.
        found: What the optimizer and its scheduler say; it counts where nothing was asked for.
        horizon: The number of updates of the training, if it is known.

    Examples:
        >>> from layerwise import cosine
        >>> course_to_search(None, cosine(400)), course_to_search("constant", cosine(400))
        ((cosine(400), ''), ('constant', ''))
        >>> course_to_search(None, None)
        ('falling', '')
    """
    if wanted is not None:
        return wanted, ""
    course, note = known_course(found, horizon)
    return course or "falling", note


def relative_course(rates: Schedule, horizon: int | None = None) -> Schedule:
    """A schedule whose values are rates, as a factor on the highest of them.

    Args:
        rates: The schedule. If it has no end, and there is no horizon, it stays as it is.
        horizon: The number of updates of the training, if it is known.

    Examples:
        >>> from layerwise import cosine
        >>> round(relative_course(cosine(400) * 3e-4)(200), 6)
        0.5
    """
    if rates.counters:
        return rates  # of updates it is no function; ``known_course`` says so
    total = training_length(rates, horizon) if horizon or end_of(rates) is not None else 0
    highest = float(values_over(rates, _sampled(total or 1)).max())
    if total == 0 or not 0 < highest < math.inf:
        return rates
    return from_function(lambda step: float(rates(step)) / highest, length=rates.length)


def _total(course: Schedule, horizon: int | None) -> int:
    """The number of updates of a training that follows a schedule."""
    if horizon is not None:
        return horizon
    end = end_of(course)
    if end is None:
        raise FinderError(
            f"schedule={shown(course)} has no end, so that the shape of a training isn't known: "
            "pass horizon=, the number of its updates."
        )
    if end == 0:
        return 1  # it never moves
    looked = _values(course, _sampled(end))
    before, last, then = _values(course, np.array([max(end - 2, 0), end - 1, end]), learns=False)
    highest = max(looked.max(), then)
    if then >= highest and looked[0] < AT_PEAK * highest:
        return math.ceil(end / WARM_UP)  # nobody trains through a warm-up alone
    if before == last and abs(then - last) > JUMP * highest:
        return math.ceil(end / LEAPT)
    return end


def _warm_up(course: Schedule, total: int) -> float:
    """The share of a training after which its rate is nearly at its highest."""
    steps = _sampled(total)
    values = _values(course, steps)
    return float(steps[np.argmax(values >= AT_PEAK * values.max())]) / total


def _sampled(total: int) -> Steps:
    """Steps at which to look at a schedule, the first and the last among them."""
    return np.unique(np.linspace(0, total - 1, min(total, _SAMPLES)).round().astype(np.int64))


def _values(course: Schedule, steps: Steps, *, learns: bool = True) -> Floats:
    """The values of a schedule, checked; ``learns`` asks for one above 0."""
    values = values_over(course, steps)
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise FinderError(
            f"schedule={course_text(course)} must be finite and at least 0, got {values[at]:g} at "
            f"step {int(steps[at])}."
        )
    if learns and not values.any():
        raise FinderError(
            f"schedule={course_text(course)} must be above 0 somewhere: nothing trains at "
            "a rate of 0."
        )
    return values
