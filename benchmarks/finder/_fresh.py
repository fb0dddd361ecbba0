"""Ordinary small tasks that nothing was tuned on: made after every choice, and measured once."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from . import _data, _layers
from ._images import conv, dense, flat
from ._tables import waves
from ._task import Task
from ._texts import LENGTH, SYMBOLS, characters_of, passages, predict, recur

_PATCHES = 49


def _centred(images: Any) -> Any:
    pixels, labels = flat(images)
    return pixels - pixels.mean(), labels


def _small_conv_init(key: Any) -> Any:
    keys = jax.random.split(key, 3)
    return {
        "conv1": _layers.dense(keys[0], 9, 12),
        "conv2": _layers.dense(keys[1], 108, 24),
        "head": _layers.dense(keys[2], 2 * 2 * 24, 10, 1.0),
    }


def _itself() -> Any:
    return (flat(_data.digits)[0],)


def _encode(params: Any, x: Any) -> Any:
    return _layers.squared(_layers.through(params, x, jax.nn.gelu), x)


def _in_patches() -> Any:
    """Images of 14 x 14 as 49 patches of 4 pixels."""
    images, labels = _data.mnist()
    rows = images.reshape(-1, 7, 2, 7, 2).transpose(0, 1, 3, 2, 4)
    return rows.reshape(len(images), _PATCHES, 4) - images.mean(), labels


def _mixer_init(key: Any, width: int = 16, blocks: int = 2) -> Any:
    keys = iter(jax.random.split(key, 4 * blocks + 2))
    return {
        "stem": _layers.dense(next(keys), 4, width, 1.0),
        "blocks": [
            {
                "norm1": _layers.norm(width),
                "places": _layers.chain(next(keys), (_PATCHES, 32, _PATCHES)),
                "norm2": _layers.norm(width),
                "channels": _layers.chain(next(keys), (width, 2 * width, width)),
            }
            for _ in range(blocks)
        ],
        "norm": _layers.norm(width),
        "head": _layers.dense(next(keys), width, 10, 1.0),
    }


def _mix(params: Any, patches: Any, labels: Any) -> Any:
    x = _layers.apply(params["stem"], patches)
    for block in params["blocks"]:
        turned = _layers.layer_norm(block["norm1"], x).swapaxes(1, 2)
        x = x + _layers.through(block["places"], turned, jax.nn.gelu).swapaxes(1, 2)
        inner = _layers.layer_norm(block["norm2"], x)
        x = x + _layers.through(block["channels"], inner, jax.nn.gelu)
    pooled = _layers.layer_norm(params["norm"], x).mean(1)
    return _layers.cross_entropy(_layers.apply(params["head"], pooled), labels)


def _regress(params: Any, x: Any, y: Any) -> Any:
    return _layers.squared(_layers.through(params, x, jnp.tanh), y)


def _counted() -> Any:
    counts, labels = passages()
    return counts * 30, labels


TASKS = (
    Task("digits-conv", _data.digits, _small_conv_init, conv),
    Task("digits-encoder", _itself, partial(_layers.chain, sizes=(64, 32, 8, 32, 64)), _encode),
    Task(
        "mnist-gelu",
        partial(_centred, _data.mnist),
        **dense((196, 96, 48, 10), activate=jax.nn.gelu),
        batch=64,
    ),
    Task("mnist-mixer", _in_patches, _mixer_init, _mix, batch=16),
    Task("wine-dense", _data.wine, **dense((13, 16, 3)), batch=16),
    Task(
        "temple",
        partial(waves, "china.jpg", 1, 2, 16),
        partial(_layers.chain, sizes=(32, 64, 3), gain=1.0),
        _regress,
        batch=64,
    ),
    Task(
        "code-recurrent",
        partial(characters_of, "code"),
        partial(_layers.recurrent, symbols=SYMBOLS, width=16),
        recur,
        16,
    ),
    Task(
        "english-shallow",
        partial(characters_of, "english"),
        partial(_layers.transformer, symbols=SYMBOLS, length=LENGTH, width=24, blocks=1),
        predict,
        16,
    ),
    Task("passages-dense", _counted, **dense((500, 24, 10))),
)
