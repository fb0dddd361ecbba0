"""Every schedule equals PyTorch's own scheduler, at every step over several periods, in float64.

PyTorch's `step()` multiplies the last rate again and again in some schedulers, and its error grows
with every step; where it has a closed form, that is asked instead. The chained form is compared
where it is the only one, over as many steps as it takes, at the same tolerance: it drifts by less.
"""

import warnings

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as peer

from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    linear,
    one_cycle,
    piecewise_constant,
    polynomial,
)

BASE = 0.3

# Both sides round some ten operations in float64; sines and cosines differ in the last digits, and
# near 0 PyTorch subtracts numbers near 1, hence the floor.
RELATIVE, FLOOR = 1e-12, 1e-15


def rates(make, steps, *, field="lr", **options):
    """Run PyTorch's scheduler and give the rate before each of the updates."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=BASE, momentum=0.9)
    scheduler = make(optimizer, **options)
    closed = getattr(scheduler, "_get_closed_form_lr", None)
    found = []
    for step in range(steps):
        if closed is not None:
            scheduler.last_epoch = step
            found.append(closed()[0])
        else:
            found.append(optimizer.param_groups[0][field])
            optimizer.step()
            if step + 1 < steps:
                scheduler.step()
    return np.asarray(found, dtype=np.float64)


def assert_equal(schedule, expected):
    steps = np.arange(len(expected))
    np.testing.assert_allclose(schedule(steps), expected, rtol=RELATIVE, atol=FLOOR)
    np.testing.assert_allclose(
        [schedule(int(step)) for step in steps], expected, rtol=RELATIVE, atol=FLOOR
    )


def test_step_lr():
    expected = rates(peer.StepLR, 100, step_size=13, gamma=0.4)
    assert_equal(exponential(0.4, every=13, staircase=True) * BASE, expected)


def test_multi_step_lr():
    expected = rates(peer.MultiStepLR, 100, milestones=[20, 50, 51], gamma=0.1)
    schedule = piecewise_constant([20, 50, 51], [1.0, 0.1, 0.01, 0.001])
    assert_equal(schedule * BASE, expected)


def test_constant_lr():
    expected = rates(peer.ConstantLR, 40, factor=0.25, total_iters=15)
    assert_equal((constant(0.25, steps=15) >> constant()) * BASE, expected)


@pytest.mark.parametrize(("start", "end"), [(0.1, 1.0), (1.0, 0.2)])
def test_linear_lr(start, end):
    expected = rates(peer.LinearLR, 80, start_factor=start, end_factor=end, total_iters=37)
    assert_equal(linear(37, start=start, end=end) * BASE, expected)


def test_exponential_lr():
    expected = rates(peer.ExponentialLR, 300, gamma=0.97)
    assert_equal(exponential(0.97) * BASE, expected)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.3])
def test_polynomial_lr(power):
    expected = rates(peer.PolynomialLR, 90, total_iters=60, power=power)
    assert_equal(polynomial(60, power=power) * BASE, expected)


def test_cosine_annealing_lr():
    # PyTorch's rises again after T_max; ours stays, and says so if it is to rise.
    expected = rates(peer.CosineAnnealingLR, 200, T_max=40, eta_min=0.03)
    there_and_back = (cosine(40, end=0.1) >> cosine(40, start=0.1, end=1.0)).repeat()
    assert_equal(there_and_back * BASE, expected)
    np.testing.assert_allclose(
        (cosine(40, end=0.1) * BASE)(np.arange(41)), expected[:41], rtol=RELATIVE
    )


@pytest.mark.parametrize("growth", [1, 2, 3])
def test_cosine_annealing_warm_restarts(growth):
    expected = rates(peer.CosineAnnealingWarmRestarts, 400, T_0=11, T_mult=growth, eta_min=0.03)
    assert_equal(cosine_restarts(11, period_growth=growth, end=0.1) * BASE, expected)


@pytest.mark.parametrize("down", [None, 7, 31])
@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cyclic_lr(mode, down):
    gamma = 0.99 if mode == "exp_range" else 1.0
    expected = rates(
        peer.CyclicLR,
        300,
        base_lr=0.01,
        max_lr=0.5,
        step_size_up=16,
        step_size_down=down,
        mode=mode,
        gamma=gamma,
    )
    schedule = cyclic(16, low=0.01, high=0.5, mode=mode, gamma=gamma, step_size_down=down)
    assert_equal(schedule, expected)


def test_cyclic_lr_momentum():
    expected = rates(
        peer.CyclicLR,
        150,
        field="momentum",
        base_lr=0.01,
        max_lr=0.5,
        step_size_up=20,
        base_momentum=0.8,
        max_momentum=0.95,
    )
    down_and_up = (linear(20, start=0.95, end=0.8) >> linear(20, start=0.8, end=0.95)).repeat()
    assert_equal(down_and_up, expected)


ONE_CYCLES = pytest.mark.parametrize(
    ("total", "pct_start", "anneal", "three"),
    [
        (100, 0.3, "cos", False),
        (100, 0.3, "linear", False),
        (100, 0.3, "cos", True),
        (100, 0.3, "linear", True),
        (137, 0.41, "cos", False),
        (137, 0.41, "linear", True),
    ],
)


def as_ours(total, pct_start, anneal, three):
    return {
        "steps": total - 1,
        "peak_at": (pct_start * total - 1) / (total - 1),
        "anneal": {"cos": "cosine", "linear": "linear"}[anneal],
        "phases": 3 if three else 2,
    }


@ONE_CYCLES
def test_one_cycle_lr(total, pct_start, anneal, three):
    expected = rates(
        peer.OneCycleLR,
        total,
        max_lr=0.7,
        total_steps=total,
        pct_start=pct_start,
        anneal_strategy=anneal,
        three_phase=three,
        div_factor=20.0,
        final_div_factor=1e3,
    )
    ours = as_ours(total, pct_start, anneal, three)
    # The last rates come from a subtraction in PyTorch, of numbers as large as the peak.
    np.testing.assert_allclose(
        (one_cycle(**ours, start=1 / 20, end=1e-3 / 20) * 0.7)(np.arange(total)),
        expected,
        rtol=RELATIVE,
        atol=1e-15,
    )


@ONE_CYCLES
def test_one_cycle_lr_momentum(total, pct_start, anneal, three):
    expected = rates(
        peer.OneCycleLR,
        total,
        field="momentum",
        max_lr=0.7,
        total_steps=total,
        pct_start=pct_start,
        anneal_strategy=anneal,
        three_phase=three,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    ours = as_ours(total, pct_start, anneal, three)
    assert_equal(one_cycle(**ours, start=0.95, peak=0.85, end=0.95), expected)


def test_one_cycle_defaults_are_pytorchs():
    expected = rates(peer.OneCycleLR, 200, max_lr=1.0, total_steps=200)
    assert_equal(one_cycle(199, peak_at=(0.3 * 200 - 1) / 199), expected)


def test_sequential_lr():
    def make(optimizer):
        first = peer.LinearLR(optimizer, start_factor=0.1, total_iters=12)
        second = peer.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.003)
        return peer.SequentialLR(optimizer, [first, second], milestones=[12])

    with warnings.catch_warnings():
        # PyTorch's SequentialLR calls its parts' step() with an epoch, and warns about itself.
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        expected = rates(make, 62)
    schedule = linear(12, start=0.1, end=1.0) >> cosine(50, end=0.01)
    assert_equal(schedule * BASE, expected)


def test_sequential_lr_of_something_endless():
    def make(optimizer):
        first = peer.ExponentialLR(optimizer, gamma=0.9)
        second = peer.StepLR(optimizer, step_size=10, gamma=0.5)
        return peer.SequentialLR(optimizer, [first, second], milestones=[20])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)
        expected = rates(make, 80)
    schedule = exponential(0.9).cut(20) >> exponential(0.5, every=10, staircase=True)
    assert_equal(schedule * BASE, expected)


def test_chained_scheduler():
    def make(optimizer):
        first = peer.LinearLR(optimizer, start_factor=0.1, total_iters=12)
        return peer.ChainedScheduler([first, peer.ExponentialLR(optimizer, gamma=0.95)])

    expected = rates(make, 100)
    assert_equal(linear(12, start=0.1, end=1.0) * exponential(0.95) * BASE, expected)


def test_lambda_lr_takes_a_schedule_as_it_is():
    schedule = cosine(50, end=0.1)
    expected = rates(peer.LambdaLR, 60, lr_lambda=schedule)
    assert_equal(schedule * BASE, expected)
