"""The shapes of papers and of timm, by their formulas written out in plain NumPy."""

import math

import numpy as np
import pytest

from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    exponential,
    hyperbolic_tangent,
    inverse_power,
    inverse_sqrt,
    linear,
    piecewise_constant,
    polynomial,
    quarter_cosine,
    rex,
    warmup,
    warmup_stable_decay,
)

HIGH, LOW = 0.3, 0.01
STEPS = np.arange(300)

# Some ten operations of float64; near an end, formulas subtract numbers near 1, hence the floor.
RELATIVE, FLOOR = 1e-12, 2e-16


def assert_equal(schedule, formula, steps=STEPS):
    expected = [formula(int(step)) for step in steps]
    np.testing.assert_allclose(schedule(steps), expected, rtol=RELATIVE, atol=FLOOR)
    np.testing.assert_allclose(
        [schedule(int(step)) for step in steps], expected, rtol=RELATIVE, atol=FLOOR
    )


# -- papers ---------------------------------------------------------------------------------------


def test_rex():
    """Chen et al. 2021, equation for REX: (1 - t/T) / (1/2 + 1/2 (1 - t/T))."""

    def formula(t):
        left = 1 - min(t / 120, 1)
        return HIGH * left / (0.5 + 0.5 * left)

    assert_equal(rex(120) * HIGH, formula)
    assert_equal(rex(120, HIGH, 0.0), formula)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9])
def test_rex_with_another_beta(beta):
    def formula(t):
        left = 1 - min(t / 120, 1)
        return LOW + (HIGH - LOW) * left / ((1 - beta) + beta * left)

    assert_equal(rex(120, HIGH, LOW, beta=beta), formula)


@pytest.mark.parametrize(("low", "high"), [(-6, 3), (-3, 3), (-8.5, 0.5), (1, 4)])
def test_hyperbolic_tangent(low, high):
    """Hsueh et al. 2019, HTD(L, U)."""

    def formula(t):
        if t >= 120:
            return LOW
        return LOW + (HIGH - LOW) / 2 * (1 - math.tanh(low + (high - low) * t / 120))

    ours = hyperbolic_tangent(120, HIGH, LOW, low=low, high=high)
    # Where the tangent is near 1, their subtraction has lost most of what ours keeps.
    np.testing.assert_allclose(ours(STEPS), [formula(t) for t in STEPS], rtol=RELATIVE, atol=3e-17)


@pytest.mark.parametrize("k", [0.5, 1.0, 1.5, 3.0])
def test_k_decay(k):
    """Zhang and Li 2020: t ** k / T ** k in the place of t / T."""

    def wave(t):
        over = min(t, 120) ** k / 120**k
        return LOW + (HIGH - LOW) * (1 + math.cos(math.pi * over)) / 2

    def power(t):
        over = min(t, 120) ** k / 120**k
        return LOW + (HIGH - LOW) * (1 - over) ** 1.7

    assert_equal(cosine(120, HIGH, LOW, k=k), wave)
    assert_equal(polynomial(120, 1.7, HIGH, LOW, k=k), power)


def test_k_decay_keeps_its_digits_in_float32():
    # 1 - p ** k right before the end: (1 - 1e-6) ** 3 leaves 3e-6, of which float32 has one digit.
    steps = np.asarray([10**6 - 1, 10**6 - 5], dtype=np.float64)
    exact = -np.expm1(3 * np.log1p(-np.asarray([1e-6, 5e-6])))
    np.testing.assert_allclose(polynomial(10**6, k=3.0)(steps), exact, rtol=1e-9)
    jnp = pytest.importorskip("jax.numpy")
    found = polynomial(10**6, k=3.0)(jnp.asarray(steps, jnp.int32))
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_quarter_cosine():
    def formula(t):
        return LOW + (HIGH - LOW) * math.cos(math.pi / 2 * min(t / 120, 1))

    assert_equal(quarter_cosine(120, HIGH, LOW), formula)


@pytest.mark.parametrize("shape", ["linear", "sqrt", "cosine"])
def test_warmup_stable_decay(shape):
    """Hu et al. 2024, and Hägele et al. 2024 for the ends."""
    ends = {
        "linear": lambda x: 1 - x,
        "sqrt": lambda x: 1 - math.sqrt(x),
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    }

    def formula(t):
        if t < 20:
            return t / 20
        return 0.1 + 0.9 * ends[shape](min(max(t - 200, 0) / 50, 1))

    assert_equal(warmup_stable_decay(250, warmup=20, decay=50, shape=shape, end=0.1), formula)


def test_inverse_power():
    assert_equal(inverse_power(25.0, 0.7), lambda t: min(1, (25 / t) ** 0.7 if t else 1))
    assert_equal(inverse_power(25.5, 2.0, hold=0), lambda t: (25.5 / (25.5 + t)) ** 2)
    assert_equal(inverse_power(40, 0.5), inverse_sqrt(40))
    assert_equal(inverse_power(40, 0.5, hold=10), inverse_sqrt(40, hold=10))


def test_power_scheduler():
    """Shen et al. 2024: min(peak, beta a n ** b) after a warm-up, and then down to 0."""
    peak, beta, a, b, n, warm, decay = 0.02, 4.0, 4.6, -0.51, 2_000_000, 100_000, 400_000

    def law(t):
        return min(peak, beta * a * t**b)

    def formula(t):
        if t < warm:
            return law(warm) * t / warm
        if t < n - decay:
            return law(t)
        return law(n - decay) * max(n - t, 0) / decay

    timescale = (peak / (beta * a)) ** (1 / b)  # the tokens at which the law falls below the peak
    assert warm < timescale < n - decay
    ours = warmup_stable_decay(n, warm, decay) * inverse_power(timescale, 0.51).cut(n - decay)
    steps = np.linspace(1, n + 100, 400).astype(np.int64)
    np.testing.assert_allclose((ours * peak)(steps), list(map(formula, steps)), rtol=1e-11)


def test_cosine_annealing_warmup_restarts():
    """The restarts of which each has a warm-up and a fixed floor, by their stepwise rule."""
    first, mult, warm, gamma = 30, 2, 5, 0.6
    expected, cycle, step, length = [], 0, 0, first
    for _ in range(400):
        peak = HIGH * gamma**cycle
        if step < warm:
            expected.append(LOW + (peak - LOW) * step / warm)
        else:
            wave = 1 + math.cos(math.pi * (step - warm) / (length - warm))
            expected.append(LOW + (peak - LOW) * wave / 2)
        step += 1
        if step >= length:
            cycle, step, length = cycle + 1, 0, (length - warm) * mult + warm
    ours = cosine_restarts(first, mult, gamma, LOW / HIGH, warmup=warm, decay_of="peak") * HIGH
    np.testing.assert_allclose(ours(np.arange(400)), expected, rtol=RELATIVE)


# -- timm, whose schedulers count epochs or updates by ``t`` ---------------------------------------


def timm_cycle(t, first, mul):
    """Which cycle a step is in, the step within it, and the length of it."""
    if mul == 1:
        return t // first, t % first, first
    i, begin, length = 0, 0, first
    while t >= begin + length:
        i, begin, length = i + 1, begin + length, length * mul
    return i, t - begin, length


@pytest.mark.parametrize("k", [1.0, 1.5])
@pytest.mark.parametrize(("mul", "limit"), [(1, 1), (1, 4), (2, 3), (3, 2)])
def test_timms_cosine(mul, limit, k):
    first, warm, gamma = 30, 10, 0.5

    def formula(t):
        if t < warm:
            return LOW + t * (HIGH - LOW) / warm
        i, t, length = timm_cycle(t - warm, first, mul)
        if i >= limit:
            return LOW
        peak = HIGH * gamma**i
        return LOW + 0.5 * (peak - LOW) * (1 + math.cos(math.pi * t**k / length**k))

    cycles = cosine_restarts(first, mul, gamma, LOW / HIGH, decay_of="peak", cycles=limit, k=k)
    assert_equal(linear(warm, LOW, HIGH) >> cycles * HIGH, formula)


def test_timms_cosine_without_a_prefix():
    # warmup_prefix=False: the warm-up takes the place of the first steps of the cycle.
    def formula(t):
        if t < 10:
            return LOW + t * (HIGH - LOW) / 10
        return LOW + 0.5 * (HIGH - LOW) * (1 + math.cos(math.pi * min(t, 100) / 100))

    assert_equal(linear(10, LOW, HIGH) >> cosine(100, HIGH, LOW).skip(10), formula)


def test_timms_tanh():
    def formula(t):
        if t >= 120:
            return LOW
        over = t / 120
        return LOW + 0.5 * (HIGH - LOW) * (1 - math.tanh(-7 * (1 - over) + 3 * over))

    ours = hyperbolic_tangent(120, HIGH, LOW, low=-7.0, high=3.0)
    np.testing.assert_allclose(ours(STEPS), [formula(t) for t in STEPS], rtol=RELATIVE, atol=3e-17)


@pytest.mark.parametrize("k", [1.0, 0.7])
def test_timms_poly(k):
    def formula(t):
        return LOW + (HIGH - LOW) * (1 - min(t, 120) ** k / 120**k) ** 0.5

    assert_equal(polynomial(120, 0.5, HIGH, LOW, k=k), formula)


def test_timms_step_and_multistep():
    def warm(t):
        return LOW + t * (HIGH - LOW) / 5

    stairs = linear(5, LOW, HIGH) >> (exponential(0.9, every=30, staircase=True) * HIGH).skip(5)
    assert_equal(stairs, lambda t: warm(t) if t < 5 else HIGH * 0.9 ** (t // 30))
    pieces = linear(5, LOW, HIGH) >> piecewise_constant([55, 95], [HIGH, HIGH / 10, HIGH / 100])
    assert_equal(
        pieces, lambda t: warm(t) if t < 5 else HIGH * 0.1 ** sum(t >= end for end in (60, 100))
    )


def test_a_quarter_wave_as_the_end_of_a_plateau():
    whole = warmup(10) >> constant(steps=50) >> quarter_cosine(40)
    assert [whole(step) for step in (0, 5, 10, 60, 100)] == [0.0, 0.5, 1.0, 1.0, 0.0]
    assert whole(80) == pytest.approx(math.cos(math.pi / 4))
