"""What holds for every schedule, whatever its arguments."""

import json

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layerwise import schedules
from layerwise.schedules import Schedule
from tests._support.strategies import (
    any_schedule,
    factors,
    finite_schedules,
    finite_shapes,
    positive_factors,
    shapes,
    step_counts,
    steps,
)

# One rounding of float64 is 1.1e-16; a deep combination has some tens of them.
LAST_DIGITS = 1e-13

NAMES = {name: getattr(schedules, name) for name in schedules.__all__}


def curve(schedule: Schedule, last: int = 3_000) -> np.ndarray:
    return schedule(np.arange(last))


@given(any_schedule(), st.lists(steps, min_size=1, max_size=20))
def test_a_curve_equals_its_points(schedule, at):
    values = schedule(np.asarray(at))
    np.testing.assert_allclose(values, [schedule(step) for step in at], rtol=1e-11, atol=1e-13)


@given(any_schedule())
def test_values_are_finite_and_not_negative(schedule):
    values = curve(schedule)
    assert np.all(np.isfinite(values))
    assert np.all(values >= 0.0)


@given(any_schedule())
def test_config_round_trip(schedule):
    text = json.dumps(schedule.to_config(), allow_nan=False)
    assert Schedule.from_config(json.loads(text)) == schedule


@given(any_schedule())
def test_text_evaluates_to_an_equal_value(schedule):
    again = eval(repr(schedule), {}, NAMES)
    assert again == schedule
    assert hash(again) == hash(schedule)


@given(finite_schedules(), st.integers(0, 10**6))
def test_past_the_end_it_stays(schedule, more):
    # Stretched by no small fraction, a schedule ends between two steps, up to one step later.
    end = schedule(schedule.length + 1)
    assert abs(schedule(schedule.length + 1 + more) - end) <= LAST_DIGITS * max(1.0, end)


@given(step_counts, factors, factors, st.integers(0, 10**10))
def test_exact_at_both_ends(n, start, end, more):
    for shape in (
        schedules.linear(n, start, end),
        schedules.cosine(n, start, end),
        schedules.cosine(n, start, end, k=2.5),
        schedules.quarter_cosine(n, start, end),
        schedules.rex(n, start, end, beta=0.7),
        schedules.polynomial(n, 2.0, start, end),
        schedules.polynomial(n, 2.0, start, end, k=0.4),
    ):
        assert shape(0) == start
        assert shape(n) == shape(n + more) == end
        ends = shape(np.asarray([0, n, n + more]))
        assert ends.tolist() == [start, end, end]


@given(step_counts, factors, factors)
def test_a_ramp_stays_between_its_ends(n, start, end):
    low, high = min(start, end), max(start, end)
    for shape in (
        schedules.linear(n, start, end),
        schedules.cosine(n, start, end),
        schedules.cosine(n, start, end, k=0.6),
        schedules.quarter_cosine(n, start, end),
        schedules.rex(n, start, end),
        schedules.hyperbolic_tangent(n, start, end),
        schedules.polynomial(n, 1.7, start, end),
        schedules.polynomial(n, 1.7, start, end, k=3.0),
    ):
        values = curve(shape, n + 5)
        assert np.all(values >= low - LAST_DIGITS * high)
        assert np.all(values <= high + LAST_DIGITS * high)
        slope = np.diff(values) * np.sign(end - start)
        assert np.all(slope >= -LAST_DIGITS * high)


@given(step_counts, st.floats(0.0, 1.0), st.floats(1.0, 3.0), st.floats(0.3, 1.0))
def test_a_cycle_stays_between_its_bounds(n, low, high, decay):
    values = curve(schedules.cyclic(n, low, high, decay=decay))
    assert np.all(values >= low * (1 - LAST_DIGITS))
    assert np.all(values <= high * (1 + LAST_DIGITS))


@given(step_counts, st.floats(0.0, 1.0), st.floats(0.3, 1.0), st.integers(1, 4))
def test_a_cycle_peaks_where_it_should(n, low, decay, every):
    schedule = schedules.cyclic(n, low, decay=decay, decay_freq=every)
    for cycle in range(8):
        assert schedule(2 * n * cycle) == low
        assert schedule(2 * n * cycle + n) == max(decay ** (cycle // every), low)


@given(step_counts, step_counts, factors, factors, factors)
def test_continuous_where_two_ramps_join(first, second, start, middle, end):
    joined = schedules.cosine(first, start, middle) >> schedules.linear(second, middle, end)
    assert joined(first) == middle
    # No step is larger than the steepest of either part: pi / 2 times the straight line.
    steepest = max(abs(start - middle) / first, abs(middle - end) / second) * np.pi / 2
    jumps = np.abs(np.diff(curve(joined, first + second + 2)))
    assert np.all(jumps <= steepest + LAST_DIGITS * max(start, middle, end))


@given(
    st.integers(20, 2_000),
    st.floats(0.1, 0.45),
    st.sampled_from(["cosine", "linear"]),
    st.sampled_from([2, 3]),
)
def test_one_cycle_is_continuous_where_its_phases_join(n, peak_at, anneal, phases):
    schedule = schedules.one_cycle(n, peak_at, anneal=anneal, phases=phases)
    jumps = np.abs(np.diff(schedule(np.linspace(0.0, n, 20 * n))))
    shortest = n * min(peak_at, 1 - 2 * peak_at if phases == 3 else 1 - peak_at)
    assert np.max(jumps) <= np.pi / 2 / shortest / 19
    assert schedule(0) == 1 / 25
    assert schedule(n) == 1e-4 / 25


@given(step_counts, factors)
def test_a_warmup_is_a_linear_decay_backwards(n, start):
    up = schedules.warmup(n, start)(np.arange(n + 1))
    down = schedules.linear(n, 1.0, start)(np.arange(n + 1))
    np.testing.assert_array_equal(up, down[::-1])


@given(step_counts, factors, factors)
def test_a_cosine_is_itself_backwards(n, start, end):
    there = schedules.cosine(n, start, end)(np.arange(n + 1))
    back = schedules.cosine(n, end, start)(np.arange(n + 1))
    np.testing.assert_allclose(there, back[::-1], rtol=0, atol=LAST_DIGITS * max(start, end))


@given(finite_schedules(), finite_schedules(), any_schedule())
def test_then_is_associative(a, b, c):
    left, right = (a >> b) >> c, a >> (b >> c)
    assert left == right
    assert hash(left) == hash(right)


@given(finite_schedules(), any_schedule(), steps)
def test_then_switches_at_the_length(a, b, step):
    joined = a >> b
    assert joined(a.length + step) == b(step)
    if step < a.length:
        assert joined(step) == a(step)


@given(any_schedule(), any_schedule())
def test_a_product_commutes(a, b):
    np.testing.assert_allclose(
        curve(a * b), curve(b * a), rtol=LAST_DIGITS, atol=LAST_DIGITS * 1e-3
    )
    assert (a * b).length == (b * a).length


@given(any_schedule(), factors)
def test_a_number_commutes(a, number):
    assert a * number == number * a


@given(any_schedule(), st.integers(0, 500), st.integers(0, 500))
def test_delays_add(a, n, m):
    np.testing.assert_array_equal(curve(a.delay(n).delay(m)), curve(a.delay(n + m)))


@given(finite_schedules(), any_schedule(), st.integers(0, 10**4))
def test_what_is_skipped_is_left_out(a, b, n):
    for each in (a, b):
        skipped = min(n, 10**4 if each.length is None else each.length - 1)
        np.testing.assert_array_equal(
            each.skip(skipped)(np.arange(1_000)), each(np.arange(skipped, skipped + 1_000))
        )
    np.testing.assert_array_equal(curve(b.delay(n).skip(n)), curve(b))


@given(
    st.integers(0, 300),
    step_counts,
    st.sampled_from([1, 2, 3]),
    st.tuples(positive_factors, st.floats(0.0, 1.0)),
    st.integers(1, 5),
)
def test_restarts_are_warm_ups_and_cosines_joined(warmup, fall, growth, heights, cycles):
    decay, end = heights
    whole = schedules.cosine_restarts(
        warmup + fall, growth, decay, end, warmup=warmup, decay_of="peak", cycles=cycles
    )
    parts, length = schedules.warmup(0), fall
    for cycle in range(cycles):
        peak = max(decay**cycle, end)
        rise = schedules.linear(warmup, end, peak)
        parts, length = parts >> rise >> schedules.cosine(length, peak, end), length * growth
    assert whole.length == parts.length
    steps = np.unique(np.linspace(0, whole.length + 3, 3_000).astype(np.int64))
    np.testing.assert_allclose(whole(steps), parts(steps), rtol=1e-11, atol=LAST_DIGITS)


@given(any_schedule(), factors, factors)
def test_a_clamp_clamps(a, low, more):
    values = curve(a.clamp(low, low + more))
    assert np.all((values >= low) & (values <= low + more))


@given(finite_schedules(), st.integers(1, 5), st.integers(0, 4))
def test_repeats_are_shifts(a, times, which):
    assume(which < times)
    again = a.repeat(times, decay=0.5)(np.arange(a.length) + which * a.length)
    np.testing.assert_allclose(again, 0.5**which * a(np.arange(a.length)), rtol=LAST_DIGITS)
    assert a.repeat(times).length == times * a.length


@given(shapes(), st.integers(1, 50), steps)
def test_stretching_visits_every_step(a, k, step):
    assert a.scale_steps(k)(k * step) == a(step)


@given(finite_shapes())
def test_len_is_the_length(a):
    assert len(a) == a.length >= 1


@settings(max_examples=30)
@given(shapes(), st.integers(0, 10**9))
def test_python_integers_of_any_size_are_fine(a, step):
    assert a(step + 10**18) >= 0.0
