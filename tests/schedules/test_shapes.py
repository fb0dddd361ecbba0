"""Golden values of every shape, worked out by hand from the formulas."""

import math

import numpy as np
import pytest

from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    inverse_sqrt,
    linear,
    one_cycle,
    piecewise_constant,
    polynomial,
    warmup,
    warmup_stable_decay,
)


def values(schedule, *steps):
    return [schedule(step) for step in steps]


def test_constant():
    assert values(constant(), 0, 1, 10**9) == [1.0, 1.0, 1.0]
    assert values(constant(0.3), 0, 7) == [0.3, 0.3]
    assert constant().length is None
    assert constant(0.3, steps=7).length == 7


def test_linear():
    assert values(linear(4), 0, 1, 2, 3, 4, 5) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    assert values(linear(4, start=0.5, end=2.5), 0, 1, 4, 99) == [0.5, 1.0, 2.5, 2.5]


def test_warmup():
    assert values(warmup(4), 0, 1, 2, 4, 5) == [0.0, 0.25, 0.5, 1.0, 1.0]
    assert values(warmup(4, start=0.5), 0, 2, 4) == [0.5, 0.75, 1.0]


def test_cosine():
    # A third of half a wave: cos(60 degrees) = 1 / 2, two thirds: -1 / 2.
    expected = [1.0, 0.75, 0.25, 0.0, 0.0]
    assert values(cosine(6), 0, 2, 4, 6, 7) == pytest.approx(expected, abs=1e-15)
    assert values(cosine(6, start=2.0, end=1.0), 0, 2, 4, 6) == pytest.approx([2, 1.75, 1.25, 1])


def test_exponential():
    assert values(exponential(0.5), 0, 1, 3) == [1.0, 0.5, 0.125]
    assert values(exponential(0.25, every=2), 0, 1, 2, 3) == [1.0, 0.5, 0.25, 0.125]
    stairs = exponential(0.25, every=2, staircase=True)
    assert values(stairs, 0, 1, 2, 3, 4) == [1.0, 1.0, 0.25, 0.25, 0.0625]
    assert values(exponential(2.0), 0, 10) == [1.0, 1024.0]


def test_polynomial():
    assert values(polynomial(4, power=2.0), 0, 1, 2, 4, 5) == [1.0, 0.5625, 0.25, 0.0, 0.0]
    assert values(polynomial(4, power=2.0, start=3.0, end=1.0), 0, 2, 4) == [3.0, 1.5, 1.0]


def test_polynomial_cycle():
    # The end moves to the next multiple: 4, then 8, then 12; a multiple itself is still an end.
    schedule = polynomial(4, cycle=True)
    assert values(schedule, 0, 2, 4, 6, 8) == [1.0, 0.5, 0.0, 0.25, 0.0]
    assert values(schedule, 5, 9) == pytest.approx([3 / 8, 3 / 12])
    assert schedule.length is None


def test_piecewise_constant():
    schedule = piecewise_constant([2, 5], [1.0, 0.5, 0.1])
    assert values(schedule, 0, 1, 2, 4, 5, 99) == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1]
    assert schedule(4.5) == 0.5
    assert schedule.length == 5
    assert piecewise_constant([], [0.4]).length is None


def test_inverse_sqrt():
    assert values(inverse_sqrt(16), 0, 16, 64, 256) == [1.0, 1.0, 0.5, 0.25]
    assert values(inverse_sqrt(16, hold=0), 0, 48, 240) == [1.0, 0.5, 0.25]
    assert values(inverse_sqrt(16, hold=100), 100, 148) == [1.0, 0.5]


def test_inverse_sqrt_with_a_warmup_is_the_transformers():
    schedule = warmup(4000) * inverse_sqrt(4000)
    for step in (0, 1, 2000, 4000, 16_000, 100_000):
        noam = min((step or 1) ** -0.5, step * 4000**-1.5)
        assert schedule(step) == pytest.approx(noam * 4000**0.5, rel=1e-14)


def test_cyclic():
    schedule = cyclic(2, low=0.5, high=1.5)
    assert values(schedule, *range(9)) == [0.5, 1.0, 1.5, 1.0, 0.5, 1.0, 1.5, 1.0, 0.5]
    uneven = cyclic(1, low=0.0, step_size_down=4)
    assert values(uneven, *range(7)) == [0.0, 1.0, 0.75, 0.5, 0.25, 0.0, 1.0]


def test_cyclic_modes():
    halved = cyclic(2, low=0.5, high=1.5, mode="triangular2")
    assert values(halved, 2, 6, 10) == [1.5, 1.0, 0.75]
    ranged = cyclic(2, low=0.5, high=1.5, mode="exp_range", gamma=0.5)
    assert values(ranged, 0, 1, 2, 6) == [0.5, 0.5 + 0.5 * 0.5, 0.5 + 0.25, 0.5 + 1 / 64]


def test_the_seeds_decaying_cycle():
    """Seed 002: `CircularLR(step_size=5, base_lr=0.2, max_lr=1.0, decay=0.6)`, by hand.

    Peaks: 1, 0.6, 0.36, 0.216, then 0.6**4 = 0.1296, which is below the lower bound: 0.2. The
    rate rises in fifths of the way: cycle 1 from 0.2 by 0.08 a step, cycle 2 by 0.032.
    """
    schedule = cyclic(5, low=0.2, high=1.0, decay=0.6)
    first = [0.2, 0.36, 0.52, 0.68, 0.84, 1.0, 0.84, 0.68, 0.52, 0.36]
    second = [0.2, 0.28, 0.36, 0.44, 0.52, 0.6, 0.52, 0.44, 0.36, 0.28]
    third = [0.2, 0.232, 0.264, 0.296, 0.328, 0.36, 0.328, 0.296, 0.264, 0.232]
    fourth = [0.2, 0.2032, 0.2064, 0.2096, 0.2128, 0.216, 0.2128, 0.2096, 0.2064, 0.2032]
    flat = [0.2] * 20
    golden = [*first, *second, *third, *fourth, *flat]
    np.testing.assert_allclose(schedule(np.arange(60)), golden, rtol=1e-14)
    assert values(schedule, *range(60)) == pytest.approx(golden, rel=1e-14)
    # The peaks and the lower bound themselves are exact.
    assert values(schedule, 0, 5, 10, 15, 20, 40) == [0.2, 1.0, 0.2, 0.6, 0.2, 0.2]


def test_the_seeds_decaying_cycle_every_second_cycle():
    # Peaks by hand with decay_freq=2: 1, 1, 0.5, 0.5, 0.25, 0.25, then 0.125 at the bound 0.125.
    schedule = cyclic(3, low=0.125, decay=0.5, decay_freq=2)
    peaks = [schedule(3 + 6 * cycle) for cycle in range(9)]
    assert peaks == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.125]


def test_cosine_restarts():
    schedule = cosine_restarts(4)
    assert values(schedule, 0, 2, 4, 6, 4000) == pytest.approx([1.0, 0.5, 1.0, 0.5, 1.0])
    # Cycles of 4, 8, 16 begin at 0, 4, 12, 28; their peaks are 0.2 + 0.8 / 2**i.
    growing = cosine_restarts(4, period_growth=2, peak_decay=0.5, end=0.2)
    assert values(growing, 0, 4, 12, 28) == pytest.approx([1.0, 0.6, 0.4, 0.3])
    assert values(growing, 2, 8, 20) == pytest.approx([0.6, 0.4, 0.3])


def test_cosine_restarts_with_cycles_that_end_between_steps():
    # Cycles of 10, 15, 22.5 begin at 0, 10, 25, 47.5; step 48 is half a step into the fourth.
    schedule = cosine_restarts(10, period_growth=1.5)
    assert values(schedule, 0, 10, 25) == [1.0, 1.0, 1.0]
    assert schedule(47) == pytest.approx((1 + math.cos(math.pi * 22 / 22.5)) / 2, rel=1e-12)
    assert schedule(48) == pytest.approx((1 + math.cos(math.pi * 0.5 / 33.75)) / 2, rel=1e-12)


@pytest.mark.parametrize("growth", [2, 3, 1.1, 1.5])
def test_restarts_are_exact_at_every_whole_boundary(growth):
    # 1000 * 1.1**i is whole up to i = 3, and float sums of it are not.
    schedule = cosine_restarts(1000, period_growth=growth)
    begin, length = 0, 1000
    for _ in range(4):
        assert schedule(begin) == 1.0
        assert schedule(np.asarray(begin)) == 1.0
        assert begin == 0 or schedule(begin - 1) < 1e-4
        begin, length = begin + length, round(length * growth)


def test_integer_growth_restarts_exactly_for_ever():
    schedule = cosine_restarts(7, period_growth=3)
    for cycle in range(30):
        begin = 7 * (3**cycle - 1) // 2
        assert schedule(begin) == 1.0
        assert cycle < 2 or schedule(begin - 1) < 0.1


def test_one_cycle():
    straight = one_cycle(10, peak_at=0.4, start=0.2, end=0.4, anneal="linear")
    assert values(straight, 0, 2, 4, 7, 10, 11) == pytest.approx([0.2, 0.6, 1.0, 0.7, 0.4, 0.4])
    curved = one_cycle(10, peak_at=0.4, start=0.2, end=0.4)
    assert values(curved, 0, 2, 4, 7, 10) == pytest.approx([0.2, 0.6, 1.0, 0.7, 0.4])
    three = one_cycle(10, peak_at=0.4, start=0.2, end=0.0, anneal="linear", phases=3)
    assert values(three, 0, 4, 6, 8, 9, 10) == pytest.approx([0.2, 1.0, 0.6, 0.2, 0.1, 0.0])


@pytest.mark.parametrize("steps", [100, 700, 1000])
@pytest.mark.parametrize("peak_at", [0.07, 0.29, 0.3, 0.58])
def test_one_cycle_peaks_on_the_step_meant(steps, peak_at):
    # 0.29 * 100 and 0.07 * 100 are no whole numbers in floats.
    peak = round(peak_at * steps)
    assert one_cycle(steps, peak_at=peak_at)(peak) == 1.0
    assert one_cycle(steps, peak_at=peak_at, anneal="linear")(peak) == 1.0


def test_warmup_stable_decay():
    schedule = warmup_stable_decay(20, warmup=4, decay=8, end=0.5)
    assert values(schedule, 0, 2, 4, 12, 16, 20, 21) == [0.0, 0.5, 1.0, 1.0, 0.75, 0.5, 0.5]
    curved = warmup_stable_decay(20, warmup=4, decay=6, shape="cosine")
    assert values(curved, 14, 16, 18, 20) == pytest.approx([1.0, 0.75, 0.25, 0.0], abs=1e-15)
    root = warmup_stable_decay(20, warmup=0, decay=16, shape="sqrt")
    assert values(root, 0, 4, 5, 8, 20) == pytest.approx([1.0, 1.0, 0.75, 0.5, 0.0])
    assert schedule.length == 20


def test_warmup_stable_decay_is_its_three_parts():
    whole = warmup_stable_decay(100, warmup=20, decay=30, end=0.1)
    parts = warmup(20) >> constant(steps=50) >> linear(30, end=0.1)
    np.testing.assert_allclose(whole(np.arange(120)), parts(np.arange(120)), rtol=1e-14)
    assert whole.length == parts.length
