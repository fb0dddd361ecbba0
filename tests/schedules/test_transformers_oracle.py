"""Every schedule of Hugging Face's Transformers, at every step, as it runs on an optimizer."""

import numpy as np
import pytest
import torch
import transformers.optimization as peer

from layerwise.schedules import (
    constant,
    cosine,
    cosine_restarts,
    inverse_sqrt,
    linear,
    polynomial,
    warmup,
    warmup_stable_decay,
)

BASE = 0.3
RELATIVE, FLOOR = 1e-12, 1e-16


def assert_equal(schedule, make, steps=260):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
    scheduler = make(optimizer)
    expected = []
    for _ in range(steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    ours = (schedule * BASE)(np.arange(steps))
    np.testing.assert_allclose(ours, expected, rtol=RELATIVE, atol=FLOOR)


def test_constant():
    assert_equal(constant(), peer.get_constant_schedule)
    assert_equal(warmup(20), lambda o: peer.get_constant_schedule_with_warmup(o, 20))


def test_linear():
    assert_equal(
        warmup(20) >> linear(180), lambda o: peer.get_linear_schedule_with_warmup(o, 20, 200)
    )


def test_cosine():
    assert_equal(
        warmup(20) >> cosine(180),
        lambda o: peer.get_cosine_schedule_with_warmup(o, 20, 200),
        steps=201,  # past the end theirs rises again
    )


def test_cosine_of_more_than_half_a_wave():
    waves = (cosine(60) >> cosine(60, 0.0, 1.0)).repeat()
    assert_equal(
        warmup(20) >> waves,
        lambda o: peer.get_cosine_schedule_with_warmup(o, 20, 200, num_cycles=1.5),
        steps=200,
    )


def test_cosine_with_hard_restarts():
    assert_equal(
        warmup(20) >> cosine_restarts(60, cycles=3),
        lambda o: peer.get_cosine_with_hard_restarts_schedule_with_warmup(o, 20, 200, 3),
    )


def test_cosine_with_a_floor():
    assert_equal(
        warmup(20) >> cosine(180, end=0.1),
        lambda o: peer.get_cosine_with_min_lr_schedule_with_warmup(o, 20, 200, min_lr_rate=0.1),
        steps=201,
    )


def test_polynomial():
    assert_equal(
        warmup(20) >> polynomial(180, power=2.0, end=0.01 / BASE),
        lambda o: peer.get_polynomial_decay_schedule_with_warmup(
            o, 20, 200, lr_end=0.01, power=2.0
        ),
    )


@pytest.mark.parametrize("timescale", [None, 77])
def test_inverse_sqrt(timescale):
    assert_equal(
        warmup(20) >> inverse_sqrt(timescale or 20, hold=0),
        lambda o: peer.get_inverse_sqrt_schedule(o, 20, timescale),
    )


SHAPES = {"linear": "linear", "cosine": "cosine", "1-sqrt": "sqrt"}


@pytest.mark.parametrize("theirs", SHAPES)
def test_warmup_stable_decay(theirs):
    assert_equal(
        warmup_stable_decay(200, warmup=20, decay=50, shape=SHAPES[theirs], end=0.1, start=0.1),
        lambda o: peer.get_wsd_schedule(o, 20, 50, 200, decay_type=theirs, min_lr_ratio=0.1),
    )


def test_warmup_stable_decay_with_a_curved_warm_up():
    assert_equal(
        cosine(20, 0.1, 1.0) >> warmup_stable_decay(180, warmup=0, decay=50, end=0.1),
        lambda o: peer.get_wsd_schedule(
            o, 20, 50, 200, warmup_type="cosine", decay_type="linear", min_lr_ratio=0.1
        ),
    )
