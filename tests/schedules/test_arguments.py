"""Every bad argument raises at construction, and the message names it, the value, and the way."""

import inspect

import numpy as np
import pytest

from layerwise import schedules
from layerwise.errors import LayerwiseError, ScheduleError
from layerwise.schedules import Schedule

NAN, INF = float("nan"), float("inf")

WHOLE = (0, -1, 1.5, NAN, INF, 2**53 + 1, "10", None, True, [1], np.asarray([1, 2]))
# The length of a shape may be 0, since such a piece may stand in `>>`: see test_no_length.py.
LENGTH = WHOLE[1:]
LENGTH_OR_NONE = tuple(value for value in LENGTH if value is not None)
WHOLE_OR_NONE = tuple(value for value in WHOLE if value is not None)
FACTOR = (-0.1, NAN, INF, -INF, "1", None, True, [1.0], 1j, np.asarray([1.0, 2.0]))
POSITIVE = (0.0, *FACTOR)
SWITCH = (0, 1, None, "yes")

# Per call: the arguments that are right, and for each argument the values that are not.
CALLS = {
    "constant": ({}, {"value": FACTOR, "steps": LENGTH_OR_NONE}),
    "linear": ({"steps": 10}, {"steps": LENGTH, "start": FACTOR, "end": FACTOR}),
    "warmup": ({"steps": 10}, {"steps": LENGTH, "start": FACTOR}),
    "cosine": (
        {"steps": 10},
        {"steps": LENGTH, "start": FACTOR, "end": FACTOR, "k": POSITIVE},
    ),
    "quarter_cosine": ({"steps": 10}, {"steps": LENGTH, "start": FACTOR, "end": FACTOR}),
    "rex": (
        {"steps": 10},
        {"steps": LENGTH, "start": FACTOR, "end": FACTOR, "beta": (*FACTOR, 1.0, 1.5)},
    ),
    "hyperbolic_tangent": (
        {"steps": 10},
        {
            "steps": LENGTH,
            "start": FACTOR,
            "end": FACTOR,
            "low": (NAN, INF, -INF, "1", None, True, 3.0, 4.0),
            "high": (NAN, INF, -INF, "1", None, True, -6.0, -7.0),
        },
    ),
    "inverse_power": (
        {"timescale": 10},
        {"timescale": POSITIVE, "power": POSITIVE, "hold": (-1, 1.5, NAN, "1", True)},
    ),
    "exponential": ({"rate": 0.5}, {"rate": POSITIVE, "every": WHOLE, "staircase": SWITCH}),
    "polynomial": (
        {"steps": 10},
        {
            "steps": LENGTH,
            "power": POSITIVE,
            "start": FACTOR,
            "end": FACTOR,
            "cycle": SWITCH,
            "k": POSITIVE,
        },
    ),
    "piecewise_constant": (
        {"boundaries": [10, 20], "values": [1.0, 0.5, 0.1]},
        {
            "boundaries": (
                3,
                None,
                "10",
                [0, 1],
                [20, 10],
                [10, 10],
                [10, NAN],
                [10, 20.5],
                [10],
                [1, 2, 3],
                [True, 2],
            ),
            "values": (1.0, None, "1", [1.0, 0.5], [1.0] * 4, [1.0, NAN, 1.0], [1.0, -1.0, 1.0]),
        },
    ),
    "inverse_sqrt": ({"timescale": 10}, {"timescale": WHOLE, "hold": (-1, 1.5, NAN, "1", True)}),
    "cyclic": (
        {"step_size": 10, "low": 0.1},
        {
            "step_size": WHOLE,
            "low": (*FACTOR, 1.5),
            "high": (*FACTOR, 0.05),
            "mode": ("triangle", None, 2),
            "gamma": (*POSITIVE, 0.9),
            "decay": tuple(value for value in POSITIVE if value is not None),
            "decay_freq": WHOLE,
            "step_size_down": WHOLE_OR_NONE,
        },
    ),
    "cosine_restarts": (
        {"period": 10},
        {
            "period": WHOLE,
            "period_growth": (*FACTOR, 0.5, 1.0001),
            "peak_decay": POSITIVE,
            "end": FACTOR,
            "warmup": (-1, 1.5, NAN, "1", None, True, 10, 11),
            "start": (0.5, *(value for value in FACTOR if value is not None)),
            "decay_of": ("floor", None, 1),
            "cycles": WHOLE_OR_NONE,
            "k": POSITIVE,
        },
    ),
    "one_cycle": (
        {"steps": 10},
        {
            "steps": LENGTH,
            "peak_at": (*POSITIVE, 1.0, 1.5),
            "start": FACTOR,
            "end": FACTOR,
            "anneal": ("cos", None, True),
            "phases": (1, 4, "2", None, 2.0, True),
            "peak": FACTOR,
            "return_at": (0.5,),
        },
    ),
    "warmup_stable_decay": (
        {"steps": 10, "warmup": 2, "decay": 3},
        {
            "steps": (*WHOLE, 4),
            "warmup": (-1, 1.5, NAN, "1", None, True, 8),
            "decay": (*WHOLE, 9),
            "shape": ("exp", None, 1),
            "end": FACTOR,
            "start": FACTOR,
        },
    ),
    "reduce_on_plateau": (
        {"metric": "val_loss"},
        {
            "metric": ("", 3, None),
            "factor": (*FACTOR, 0.0, 1.0, 1.5),
            "patience": (-1, 0, 1.5, NAN, "1", None, True),
            "minimum": (*FACTOR, 1.5),
            "mode": ("auto", 1),
            "min_delta": FACTOR,
            "relative": SWITCH,
            "cooldown": (-1, 1.5, NAN, "1", None, True),
            "restore_best": SWITCH,
            "fired": (-1, 1.5, NAN, "1", None, True),
        },
    ),
    "on_plateau": (
        {"when": schedules.plateau("val_loss"), "values": [0.0, 1.0]},
        {
            "when": (None, "val_loss", schedules.cosine(10)),
            "values": (1.0, None, "1", [1.0, NAN], [-1.0]),
            "fired": (-1, 1.5, NAN, "1", None, True),
        },
    ),
    "from_function": (
        {"function": abs},
        {
            "function": (None, 1.0, "abs", schedules.cosine(10)),
            "name": ("", 3, abs),
            "length": LENGTH_OR_NONE,
        },
    ),
}

CASES = [
    pytest.param(call, argument, value, id=f"{call}-{argument}-{value!r}")
    for call, (_, arguments) in CALLS.items()
    for argument, wrong in arguments.items()
    for value in wrong
]


@pytest.mark.parametrize(("call", "argument", "value"), CASES)
def test_a_bad_argument(call, argument, value):
    right, _ = CALLS[call]
    with pytest.raises(ScheduleError) as caught:
        getattr(schedules, call)(**{**right, argument: value})
    message = str(caught.value)
    assert message.startswith(f"{call}: ")
    assert argument.removesuffix("ies").removesuffix("s") in message
    assert any(repr(part) in message for part in _named(value))
    assert "must be" in message
    assert isinstance(caught.value, LayerwiseError)
    assert isinstance(caught.value, ValueError)


def _named(value):
    # A list is named as a whole, or by the item that is wrong, or by its length.
    if isinstance(value, list):
        return [value, *value, len(value)]
    return [value, float(value)] if isinstance(value, int | float) else [value]


@pytest.mark.parametrize("call", CALLS)
def test_the_table_has_every_argument_and_the_good_ones_are_good(call):
    right, arguments = CALLS[call]
    made = getattr(schedules, call)
    assert isinstance(made(**right), Schedule)
    assert set(arguments) == set(inspect.signature(made).parameters)


def test_the_table_has_every_shape():
    one = {"by", "clamp", "delay", "skip", "cut", "repeat", "scale_steps"}
    combinators = {"then", "product", *one}
    found = {
        name
        for name in schedules.__all__
        if isinstance(getattr(schedules, name), type)
        and issubclass(getattr(schedules, name), Schedule)
    }
    assert found - combinators - {"ByMetric", "Schedule"} == set(CALLS)


@pytest.mark.parametrize(
    ("expression", "signature"),
    [
        ("constant", "(value=1.0, steps=None)"),
        ("linear", "(steps, start=1.0, end=0.0)"),
        ("warmup", "(steps, start=0.0)"),
        ("cosine", "(steps, start=1.0, end=0.0, *, k=1.0)"),
        ("quarter_cosine", "(steps, start=1.0, end=0.0)"),
        ("rex", "(steps, start=1.0, end=0.0, *, beta=0.5)"),
        ("hyperbolic_tangent", "(steps, start=1.0, end=0.0, *, low=-6.0, high=3.0)"),
        ("inverse_power", "(timescale, power=1.0, *, hold=None)"),
        ("exponential", "(rate, every=1, staircase=False)"),
        ("polynomial", "(steps, power=1.0, start=1.0, end=0.0, *, cycle=False, k=1.0)"),
        ("piecewise_constant", "(boundaries, values)"),
        ("inverse_sqrt", "(timescale, *, hold=None)"),
        (
            "cyclic",
            "(step_size, low, high=1.0, mode='triangular', gamma=1.0, decay=None, decay_freq=1, "
            "*, step_size_down=None)",
        ),
        (
            "cosine_restarts",
            "(period, period_growth=1, peak_decay=1.0, end=0.0, *, warmup=0, start=None, "
            "decay_of='height', cycles=None, k=1.0)",
        ),
        (
            "one_cycle",
            "(steps, peak_at=0.3, start=0.04, end=4e-06, anneal='cosine', phases=2, "
            "*, peak=1.0, return_at=None)",
        ),
        (
            "warmup_stable_decay",
            "(steps, warmup, decay, shape='linear', end=0.0, *, start=0.0)",
        ),
        ("from_function", "(function, name=None, length=None)"),
    ],
)
def test_the_calls_are_the_ones_promised(expression, signature):
    found = inspect.signature(getattr(schedules, expression))
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
    ]
    assert str(inspect.Signature(bare)) == signature


def test_three_phases_need_room_for_the_way_back():
    with pytest.raises(ScheduleError, match=r"peak_at must be below 0\.5.*got 0\.6"):
        schedules.one_cycle(100, peak_at=0.6, phases=3)
    with pytest.raises(ScheduleError, match=r"return_at must be above peak_at=0\.6.*got 0\.3"):
        schedules.one_cycle(100, peak_at=0.6, phases=3, return_at=0.3)
    with pytest.raises(ScheduleError, match=r"return_at must be a finite number.*got 1\.0"):
        schedules.one_cycle(100, phases=3, return_at=1.0)
    assert schedules.one_cycle(100, peak_at=0.6, phases=3, return_at=0.8)(60) == 1.0


def test_cycles_that_no_training_reaches():
    for made in (
        lambda: schedules.cosine_restarts(10, cycles=2**53),
        lambda: schedules.cosine_restarts(10, period_growth=2, cycles=100),
    ):
        with pytest.raises(ScheduleError, match=r"whole length must be at most 2\*\*53"):
            made()
    assert schedules.cosine_restarts(1, period_growth=2, cycles=50).length == 2**50 - 1


def test_peaks_of_restarts_never_fall_below_0():
    def made(**others):
        return schedules.cosine_restarts(2, peak_decay=2.0, end=1.2, **others)

    for others in ({}, {"cycles": 4}):
        with pytest.raises(
            ScheduleError, match=r"peak_decay must be at most 1 with end=1\.2.*2\.0"
        ):
            made(**others)
    steps = np.arange(30)
    for allowed in (made(cycles=3), made(decay_of="peak")):
        assert np.min(allowed(steps)) >= 0.0


def test_gamma_is_for_exp_range_only():
    with pytest.raises(ScheduleError, match="gamma must be 1 in mode 'triangular'"):
        schedules.cyclic(10, low=0.1, gamma=0.9)
    assert schedules.cyclic(10, low=0.1, mode="exp_range", gamma=0.9)(0) == 0.1


def test_integers_that_no_float_can_hold():
    with pytest.raises(ScheduleError, match="constant: value must be a finite number"):
        schedules.constant(10**400)
    with pytest.raises(ScheduleError, match=r"linear: steps must be .* at most 2\*\*53"):
        schedules.linear(10**400)


def test_whole_floats_and_numpys_numbers_are_fine():
    assert schedules.cosine(1e4).length == 10_000
    assert schedules.cosine(np.int32(5), end=np.float32(0.5))(5) == 0.5
    assert schedules.cosine(np.asarray(5)).length == 5
