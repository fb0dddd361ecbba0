"""Every Hypothesis strategy of these tests, one section a noun."""

import json
from dataclasses import fields, is_dataclass, replace
from random import Random

from hypothesis import strategies as st

from layerwise import schedules
from layerwise.errors import ScheduleError
from layerwise.schedules import Schedule

# --- schedules -----------------------------------------------------------------------------------

step_counts = st.integers(1, 2_000)
steps = st.integers(0, 10_000)
factors = st.floats(0.0, 4.0, allow_subnormal=False)
positive_factors = st.floats(0.05, 1.0)
exponents = st.just(1.0) | st.floats(0.3, 4.0)


@st.composite
def _cyclic(draw: st.DrawFn) -> Schedule:
    mode = draw(st.sampled_from(["triangular", "triangular2", "exp_range"]))
    return schedules.cyclic(
        draw(step_counts),
        low=draw(st.floats(0.0, 1.0)),
        high=draw(st.floats(1.0, 3.0)),
        mode=mode,
        gamma=draw(st.floats(0.9, 1.0)) if mode == "exp_range" else 1.0,
        decay=draw(st.none() | st.floats(0.3, 1.0)),
        decay_freq=draw(st.integers(1, 4)),
        step_size_down=draw(st.none() | step_counts),
    )


@st.composite
def _piecewise_constant(draw: st.DrawFn) -> Schedule:
    boundaries = sorted(draw(st.sets(st.integers(1, 5_000), max_size=6)))
    values = draw(st.lists(factors, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    return schedules.piecewise_constant(boundaries, values)


@st.composite
def _warmup_stable_decay(draw: st.DrawFn) -> Schedule:
    warmup, stable, decay = draw(st.integers(0, 500)), draw(st.integers(0, 500)), draw(step_counts)
    return schedules.warmup_stable_decay(
        warmup + stable + decay,
        warmup,
        decay,
        shape=draw(st.sampled_from(["linear", "cosine", "sqrt"])),
        end=draw(factors),
        start=draw(factors),
    )


@st.composite
def _one_cycle(draw: st.DrawFn) -> Schedule:
    return schedules.one_cycle(
        draw(st.integers(2, 2_000)),
        peak_at=draw(st.floats(0.05, 0.45)),
        start=draw(factors),
        end=draw(factors),
        anneal=draw(st.sampled_from(["cosine", "linear"])),
        phases=draw(st.sampled_from([2, 3])),
        peak=draw(factors),
    )


@st.composite
def _cosine_restarts(draw: st.DrawFn, cycles: st.SearchStrategy[int | None]) -> Schedule:
    warmup = draw(st.integers(0, 300))
    return schedules.cosine_restarts(
        warmup + draw(step_counts),
        draw(st.sampled_from([1, 1.1, 1.5, 2, 3])),
        draw(st.floats(0.3, 1.0)),
        draw(factors),
        warmup=warmup,
        start=draw(st.none() | factors) if warmup else None,
        decay_of=draw(st.sampled_from(["height", "peak"])),
        cycles=draw(cycles),
        k=draw(exponents),
    )


@st.composite
def _hyperbolic_tangent(draw: st.DrawFn) -> Schedule:
    low = draw(st.floats(-20.0, 5.0))
    return schedules.hyperbolic_tangent(
        draw(step_counts), draw(factors), draw(factors), low=low, high=low + draw(st.floats(0.1, 9))
    )


def finite_shapes() -> st.SearchStrategy[Schedule]:
    """Shapes that have a length."""
    return st.one_of(
        st.builds(schedules.constant, factors, step_counts),
        st.builds(schedules.linear, step_counts, factors, factors),
        st.builds(schedules.warmup, step_counts, factors),
        st.builds(schedules.cosine, step_counts, factors, factors, k=exponents),
        st.builds(schedules.quarter_cosine, step_counts, factors, factors),
        st.builds(schedules.rex, step_counts, factors, factors, beta=st.floats(0.0, 0.95)),
        _hyperbolic_tangent(),
        _cosine_restarts(st.integers(1, 6)),
        st.builds(
            schedules.polynomial,
            step_counts,
            st.floats(0.3, 4.0),
            factors,
            factors,
            k=exponents,
        ),
        _one_cycle(),
        _warmup_stable_decay(),
    )


def endless_shapes() -> st.SearchStrategy[Schedule]:
    """Shapes that have none, and one that may or may not."""
    return st.one_of(
        st.builds(schedules.constant, factors),
        st.builds(
            schedules.polynomial, step_counts, factors.map(lambda x: x + 0.3), cycle=st.just(True)
        ),
        st.builds(schedules.exponential, st.floats(0.5, 1.0), step_counts, st.booleans()),
        st.builds(schedules.inverse_sqrt, step_counts, hold=st.none() | st.integers(0, 500)),
        st.builds(
            schedules.inverse_power,
            st.floats(0.5, 2_000.0),
            st.floats(0.1, 3.0),
            hold=st.none() | st.integers(0, 500),
        ),
        _cosine_restarts(st.none()),
        _cyclic(),
        _piecewise_constant(),
    )


def shapes() -> st.SearchStrategy[Schedule]:
    """Every shape."""
    return st.one_of(finite_shapes(), endless_shapes())


def _combined(inner: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
    finite = inner.filter(lambda schedule: schedule.length is not None)
    return st.one_of(
        st.builds(lambda a, b: a >> b, finite, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, number: a * number, inner, factors),
        st.builds(lambda a, low, more: a.clamp(low, low + more), inner, factors, factors),
        st.builds(lambda a, low: a.clamp(low=low), inner, factors),
        st.builds(lambda a, high: a.clamp(high=high), inner, factors),
        st.builds(lambda a, n: a.delay(n), inner, st.integers(0, 500)),
        st.builds(lambda a, n: a.cut(n), inner, step_counts),
        st.builds(
            lambda a, n: a.skip(n if a.length is None else min(n, a.length - 1)),
            inner,
            st.integers(0, 500),
        ),
        st.builds(
            lambda a, times, decay: a.repeat(times, decay),
            finite,
            st.none() | st.integers(1, 5),
            positive_factors,
        ),
        st.builds(
            lambda a, factor: a.scale_steps(factor),
            inner,
            st.sampled_from([0.1, 0.25, 1 / 3, 1.0, 1.5, 2, 10]) | st.floats(0.1, 10.0),
        ),
    )


def any_schedule() -> st.SearchStrategy[Schedule]:
    """Every shape and combination of shapes, a few levels deep."""
    return st.recursive(shapes(), _combined, max_leaves=4)


def finite_schedules() -> st.SearchStrategy[Schedule]:
    """Those of them that have a length."""
    return any_schedule().filter(lambda schedule: schedule.length is not None)


def cousin(schedule: Schedule, random: Random) -> Schedule:
    """A schedule with the same expression and, here and there, other numbers, near or far."""
    for _ in range(20):
        given = {f.name: _near(getattr(schedule, f.name), random) for f in fields(schedule)}
        try:
            if isinstance(schedule, schedules.piecewise_constant):
                return schedules.piecewise_constant(**given)
            return replace(schedule, **given)
        except ScheduleError:
            continue
    return schedule


def _near(value, random: Random):
    if isinstance(value, Schedule):
        return cousin(value, random)
    if isinstance(value, tuple):
        return tuple(_near(each, random) for each in value)
    if value is None or isinstance(value, bool | str) or random.random() < 0.4:
        return value
    if isinstance(value, int):
        far = random.random() < 0.2
        return max(0, value + random.choice([50, 10**9, 3 * 10**9] if far else [-2, -1, 1, 7]))
    return value * random.choice([0.5, 1 + 1e-16, 1 + 1e-7, 0.99, 1.01])


# --- what strangers write ------------------------------------------------------------------------

# Names of files and layers may have anything in them: lone surrogates, escapes, both directions.
any_text = st.one_of(
    st.text(max_size=12),
    st.sampled_from("ab").map(lambda letter: letter * 10_000),
    st.text(alphabet="a/$\x1b\x00\n\ud800\u202e[]()*+?{}|^\\", max_size=24),
    st.sampled_from(["", "\udcff", "\x1b[2J", "$\\frac{$", "a\nb", "[red]"]),
)
any_number = st.one_of(
    st.integers(-3, 100),
    st.sampled_from([10**30, -(10**30), 10**400, 2**53, 2**53 + 1, 2**63, 1e308, 5e-324]),
    st.floats(),
)
any_scalar = st.one_of(st.none(), st.booleans(), any_number, any_text)


def any_data(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Whatever JSON can hold, with ``inner`` at the leaves."""
    return st.recursive(
        inner,
        lambda part: st.one_of(
            st.lists(part, max_size=4), st.dictionaries(any_text, part, max_size=4)
        ),
        max_leaves=8,
    )


_ARGUMENTS = sorted(
    {
        field.name
        for name in schedules.__all__
        if is_dataclass(kind := getattr(schedules, name))
        for field in fields(kind)
    }
)


def any_schedule_data() -> st.SearchStrategy[object]:
    """Nearly the config of a schedule: right names and wrong arguments, or the other way round."""
    names = sorted(name for name in schedules.__all__ if name[0].islower())
    right = any_schedule().map(lambda schedule: schedule.to_config()["schedule"])

    def around(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
        part = st.one_of(inner, any_scalar, st.lists(inner, max_size=3))
        arguments = st.dictionaries(st.sampled_from(_ARGUMENTS), part, max_size=4)
        near = st.builds(
            lambda name, own: {"name": name, "arguments": own}, st.sampled_from(names), arguments
        )
        by_name = {
            "delay": {"steps": any_number},
            "cut": {"steps": any_number},
            "skip": {"steps": any_number},
            "repeat": {"times": any_number, "decay": any_number},
            "scale_steps": {"factor": any_number},
            "clamp": {"low": any_number, "high": any_number},
        }
        exact = [
            st.builds(
                lambda name, own: {"name": name, "arguments": own},
                st.just(name),
                st.fixed_dictionaries({"schedule": inner, **own}),
            )
            for name, own in by_name.items()
        ]
        exact.append(
            st.lists(inner, max_size=4).map(lambda p: {"name": "then", "arguments": {"parts": p}})
        )
        return st.one_of(near, *exact)

    return st.recursive(st.one_of(right, any_data(any_scalar)), around, max_leaves=6)


# --- recorder ------------------------------------------------------------------------------------

names = st.sampled_from(
    [
        "loss",
        "step",
        "time",
        "constructor",
        "__proto__",
        "</script>",
        "a/b",
        "",
        "bad\udcff",
        "val_m",
    ]
) | st.text(max_size=8)

numbers = (
    st.floats()
    | st.integers()
    | st.sampled_from([2**53, 2**53 + 1, 10**400, -(10**400), 1.7976931348623157e308, 5e-324])
)

no_numbers = st.none() | st.text(max_size=5) | st.booleans() | st.binary(max_size=3) | st.just([1])


json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
"""Anything that JSON has, and the constants that it has not."""


def logged_rows() -> st.SearchStrategy[dict[str, object]]:
    """Arguments of ``Recorder.log``, right and wrong ones."""
    values = numbers | no_numbers
    tables = st.none() | st.dictionaries(names, values, max_size=4) | no_numbers
    return st.fixed_dictionaries(
        {"step": st.integers(0, 50) | values},
        optional={
            "epoch": values,
            "loss": values,
            "rate": values,
            "time": values,
            "metrics": tables,
            "rates": tables,
            "ratios": tables,
        },
    )


_ids = st.integers(0, 2)
_columns = st.lists(names, max_size=3).map(lambda found: ["step", "time", *found])
_kinds = st.sampled_from(["batch", "epoch"])
record_lines = st.one_of(
    st.fixed_dictionaries({"columns": _columns, "of": _kinds, "id": _ids}),
    st.fixed_dictionaries({"columns": json_values, "of": _kinds, "id": json_values}),
    st.fixed_dictionaries(
        {"resume": st.dictionaries(st.sampled_from(["step", "epoch"]), numbers, max_size=1)}
    ),
    st.builds(
        lambda number, step, cells: [number, step, 0.5, *cells],
        _ids,
        st.integers(0, 9),
        st.lists(numbers | st.just("nan"), max_size=3),
    ),
    st.lists(json_values, max_size=5),
    json_values,
).map(lambda value: json.dumps(value).encode())
"""A line of a record: right, nearly right, or anything else."""

_first_lines = st.one_of(
    st.just({"layerwise": "record", "version": 1, "started": 0.0}),
    st.fixed_dictionaries(
        {"layerwise": st.just("record"), "version": st.just(1) | json_values},
        optional={"started": json_values},
    ),
    json_values,
).map(lambda value: json.dumps(value).encode())


@st.composite
def record_files(draw: st.DrawFn) -> bytes:
    """The file of a record, of which some bytes are others, are missing, or come again."""
    lines = [draw(_first_lines), *draw(st.lists(record_lines, max_size=12))]
    text = b"\n".join(lines) + draw(st.sampled_from([b"\n", b"", b"\n[0, 1"]))
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + draw(st.binary(max_size=4) | st.just(text[:end])) + text[end:]
    return text


def columns_of_a_run() -> st.SearchStrategy[dict[str, list[float]]]:
    """Columns of one length, with odd names and odd numbers."""
    odd = st.floats() | st.sampled_from([1.7976931348623157e308, 5e-324, -1e308, 0.0])
    kinds = names.map(lambda name: name if name not in ("step", "epoch") else "loss")
    prefixed = st.builds(
        lambda prefix, name: prefix + name,
        st.sampled_from(["", "rates/", "ratios/", "val_"]),
        kinds,
    )
    return st.integers(0, 6).flatmap(
        lambda rows: st.dictionaries(
            prefixed, st.lists(odd, min_size=rows, max_size=rows), max_size=6
        ).flatmap(
            lambda columns: (
                st.just(columns)
                | st.lists(st.integers(0, 2**53), min_size=rows, max_size=rows).map(
                    lambda steps: {"step": steps, **columns}
                )
            )
        )
    )
