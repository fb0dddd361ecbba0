"""Tasks on images: dense, deep, convolutional, encoding, noisy, imbalanced, fine-tuned."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import _data, _layers
from ._task import Task


def flat(source: Any) -> Any:
    """Images as rows of pixels, and their labels."""
    images, labels = source()
    return images.reshape(len(images), -1), labels


def _centred(source: Any) -> Any:
    pixels, labels = flat(source)
    return (pixels - pixels.mean()) / pixels.std(), labels


def dense(sizes: tuple[int, ...], gain: float = 2.0, activate: Any = jax.nn.relu) -> Any:
    """Of a task: dense layers that classify, and their loss."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        return _layers.cross_entropy(_layers.through(params, x, activate), y)

    return {"init": partial(_layers.chain, sizes=sizes, gain=gain), "loss": loss}


def _noisy(share: float) -> Any:
    pixels, labels = flat(_data.mnist)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < share
    return pixels, np.where(wrong, rng.integers(0, 10, len(labels)), labels).astype("int32")


def _imbalanced() -> Any:
    pixels, labels = _centred(partial(_data.fashion, 20_000))
    kept = [np.flatnonzero(labels == k)[: int(1800 * 0.55**k) + 5] for k in range(10)]
    chosen = np.concatenate(kept)
    return pixels[chosen], labels[chosen]


def _itself() -> Any:
    return (flat(_data.mnist)[0],)


def _encode(params: Any, x: Any) -> Any:
    logits = _layers.through(params, x)
    return optax.sigmoid_binary_cross_entropy(logits, x).sum(-1).mean() / 100


def _conv_init(key: Any, norms: bool = False) -> Any:
    keys = jax.random.split(key, 3)
    params: dict[str, Any] = {
        "conv1": _layers.dense(keys[0], 9, 8),
        "conv2": _layers.dense(keys[1], 72, 16),
        "head": _layers.dense(keys[2], 4 * 4 * 16, 10, 1.0),
    }
    return params | {"norm1": _layers.norm(8), "norm2": _layers.norm(16)} if norms else params


def _conv_features(params: Any, images: Any) -> Any:
    x = images[..., None]
    for number in "12":
        x = _layers.apply(params[f"conv{number}"], _layers.patches(x, stride=2))
        if f"norm{number}" in params:
            x = _layers.batch_norm(params[f"norm{number}"], x)
        x = jax.nn.relu(x)
    return x.reshape(len(x), -1)


def conv(params: Any, images: Any, labels: Any) -> Any:
    """The loss of a convolutional network that classifies."""
    return _layers.cross_entropy(
        _layers.apply(params["head"], _conv_features(params, images)), labels
    )


def _noised() -> Any:
    images = _data.fashion()[0]
    noise = np.random.default_rng(0).normal(0, 0.3, images.shape)
    return (images + noise).astype("float32"), images


def _denoise_init(key: Any) -> Any:
    keys = jax.random.split(key, 3)
    sizes = ((9, 6), (54, 6), (54, 1))
    return [
        _layers.dense(k, *size, gain=1.0 if size[1] == 1 else 2.0)
        for k, size in zip(keys, sizes, strict=True)
    ]


def _denoise(params: Any, noisy: Any, clean: Any) -> Any:
    x = noisy[..., None]
    for layer in params[:-1]:
        x = jax.nn.relu(_layers.apply(layer, _layers.patches(x)))
    return _layers.squared(_layers.apply(params[-1], _layers.patches(x))[..., 0], clean)


def _residual_init(key: Any, blocks: int = 4, width: int = 32) -> Any:
    keys = iter(jax.random.split(key, 2 * blocks + 2))
    return {
        "stem": _layers.dense(next(keys), 196, width, 1.0),
        "blocks": [
            {
                "norm": _layers.norm(width),
                "wide": _layers.dense(next(keys), width, 2 * width),
                "narrow": _layers.dense(next(keys), 2 * width, width, 1.0),
            }
            for _ in range(blocks)
        ],
        "norm": _layers.norm(width),
        "head": _layers.dense(next(keys), width, 10, 1.0),
    }


def _residual(params: Any, x: Any, y: Any) -> Any:
    x = _layers.apply(params["stem"], x)
    for block in params["blocks"]:
        inner = jax.nn.relu(_layers.apply(block["wide"], _layers.layer_norm(block["norm"], x)))
        x = x + _layers.apply(block["narrow"], inner)
    head = _layers.apply(params["head"], _layers.layer_norm(params["norm"], x))
    return _layers.cross_entropy(head, y)


@cache
def _pretrained() -> Any:
    """The convolutions after 600 steps of Adam on MNIST, brought to the digits' coding."""
    images, labels = map(jnp.asarray, _data.mnist())
    params = _conv_init(jax.random.key(7))
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, 600))
    order = jax.random.randint(jax.random.key(8), (600, 32), 0, len(labels))

    @jax.jit
    def train(params: Any) -> Any:
        def step(carry: Any, places: Any) -> Any:
            params, state = carry
            grads = jax.grad(conv)(params, images[places], labels[places])
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), order)[0][0]

    return train(params)


def _finetune_init(key: Any) -> Any:
    return _pretrained() | {"head": _layers.dense(key, 4 * 4 * 16, 10, 1.0)}


def _larger_digits() -> Any:
    """The digits at MNIST's size: other writers, another scanner."""
    images, labels = _data.digits()
    places = np.linspace(0, 7, 14)
    low = np.minimum(places.astype(int), 6)
    part = places - low
    rows = images[:, low] * (1 - part)[:, None] + images[:, low + 1] * part[:, None]
    both = rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part
    return both.astype("float32"), labels


TASKS = (
    Task("digits-dense", partial(flat, _data.digits), **dense((64, 64, 10))),
    Task("digits-logistic", partial(flat, _data.digits), **dense((64, 10), 0.1)),
    Task("digits-finetuned", _larger_digits, _finetune_init, conv),
    Task("mnist-deep", partial(_centred, _data.mnist), **dense((196, *(32,) * 12, 10))),
    Task("mnist-encoder", _itself, **dense((196, 64, 12, 64, 196)) | {"loss": _encode}),
    Task("mnist-conv", _data.mnist, _conv_init, conv),
    Task("mnist-noisy", partial(_noisy, 0.4), **dense((196, 64, 10))),
    Task(
        "fashion-deep-tanh",
        partial(_centred, _data.fashion),
        **dense((196, *(32,) * 12, 10), 1.0, jnp.tanh),
    ),
    Task("fashion-denoised", _noised, _denoise_init, _denoise, batch=8),
    Task("fashion-conv-norms", _data.fashion, partial(_conv_init, norms=True), conv),
    Task("fashion-imbalanced", _imbalanced, **dense((196, 48, 48, 10))),
    Task("fashion-residual", partial(_centred, _data.fashion), _residual_init, _residual),
)
