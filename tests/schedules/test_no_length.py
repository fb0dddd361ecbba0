"""Pieces of 0 steps, which configs of other libraries contain: only among others in `>>`.

The oracle is the same schedule without the piece.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

from layerwise import plots
from layerwise.errors import ScheduleError
from layerwise.schedules import (
    Schedule,
    constant,
    cosine,
    cyclic,
    exponential,
    from_function,
    linear,
    one_cycle,
    polynomial,
    warmup,
    warmup_stable_decay,
)

PIECES = [
    warmup(0),
    warmup(0, start=0.5),
    linear(0),
    linear(0, start=2.0, end=3.0),
    constant(steps=0),
    constant(0.3, steps=0),
    cosine(0),
    polynomial(0, power=2.0),
    one_cycle(0),
    warmup_stable_decay(0, warmup=0, decay=0),
    from_function(abs, length=0),
    exponential(0.5).cut(0),
    warmup(0) >> linear(0),
]
STEPS = np.arange(0, 40)

every_piece = pytest.mark.parametrize("piece", PIECES, ids=repr)


@every_piece
def test_it_counts_for_nothing_wherever_it_stands(piece):
    a, b = warmup(10), cosine(20, end=0.1)
    assert piece.length == 0
    for joined, plain in (
        (piece >> b, b),
        (a >> piece >> b, a >> b),
        (a >> b >> piece, a >> b),
        (piece >> a >> piece >> piece >> b >> piece, a >> b),
        (piece >> cyclic(5, low=0.1), cyclic(5, low=0.1)),
        ((piece >> a).repeat(2) >> b, a.repeat(2) >> b),
    ):
        assert joined.length == plain.length
        assert [joined(step) for step in range(40)] == [plain(step) for step in range(40)]
        assert joined(STEPS).tolist() == plain(STEPS).tolist()


def test_it_counts_for_nothing_in_every_library():
    joined, plain = warmup(0) >> warmup(10) >> linear(0) >> cosine(20), warmup(10) >> cosine(20)
    for make in (jnp.asarray, torch.as_tensor, tf.constant):
        values, wanted = joined(make(STEPS)), plain(make(STEPS))
        assert np.asarray(values).tolist() == np.asarray(wanted).tolist()
    assert jax.jit(joined)(7) == jax.jit(plain)(7)


@every_piece
@pytest.mark.parametrize(
    "use",
    [
        lambda piece: piece(0),
        lambda piece: piece(np.arange(3)),
        lambda piece: piece(jnp.arange(3)),
        lambda piece: piece * 2.0,
        lambda piece: cosine(5) * piece,
        lambda piece: piece.delay(3),
        lambda piece: piece.repeat(),
        lambda piece: piece.repeat(2),
        lambda piece: piece.cut(3),
        lambda piece: piece.clamp(0.1),
        lambda piece: piece.scale_steps(2.0),
        plots.schedule,
    ],
)
def test_elsewhere_it_is_an_error_with_the_way_out(piece, use):
    with pytest.raises(ScheduleError, match=r"no steps.*`warmup\(0\) >> cosine\(90\)`.*Leave it"):
        use(piece)


@every_piece
def test_it_stays_what_was_written(piece):
    joined = piece >> cosine(90)
    if "from_function" not in repr(joined):
        again = Schedule.from_config(json.loads(json.dumps(joined.to_config())))
        assert again == joined
        assert repr(again) == repr(joined) == f"{piece!r} >> cosine(90)"
        assert again(3) == cosine(90)(3)


def test_what_is_no_length_of_0_still_is_wrong():
    for make in (
        lambda: polynomial(0, cycle=True),
        lambda: warmup_stable_decay(10, warmup=0, decay=0),
        lambda: warmup_stable_decay(0, warmup=0, decay=1),
        lambda: cosine(5).repeat(0),
        lambda: cyclic(0, low=0.1),
    ):
        with pytest.raises(ScheduleError, match="must be"):
            make()
