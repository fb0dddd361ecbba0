"""The layers that the panel's networks are made of: pure functions of their parameters."""

from typing import Any

import jax
import jax.numpy as jnp

Params = dict[str, Any]
Array = jax.Array


def dense(key: Array, inputs: int, outputs: int, gain: float = 2.0) -> Params:
    """Normal weights of variance gain / inputs (2: He's; 1: LeCun's) and biases of 0."""
    weights = jax.random.normal(key, (inputs, outputs)) * (gain / inputs) ** 0.5
    return {"kernel": weights, "bias": jnp.zeros(outputs)}


def apply(layer: Params, x: Array) -> Array:
    """A dense layer's outputs."""
    return x @ layer["kernel"] + layer["bias"]


def chain(key: Array, sizes: tuple[int, ...], gain: float = 2.0) -> list[Params]:
    """Dense layers one after the other."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        dense(key, inputs, outputs, gain)
        for key, inputs, outputs in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def through(layers: list[Params], x: Array, activate: Any = jax.nn.relu) -> Array:
    """The outputs of dense layers in a chain; the last has no activation."""
    for layer in layers[:-1]:
        x = activate(apply(layer, x))
    return apply(layers[-1], x)


def patches(x: Array, stride: int = 1) -> Array:
    """The 3 x 3 neighbourhoods of images (n, h, w, c): a dense layer on them convolves.

    As batched matrix products, convolutions with a kernel for each rate are fast on CPUs.
    """
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [
        padded[:, row : row + height : stride, column : column + width : stride]
        for row in range(3)
        for column in range(3)
    ]
    return jnp.concatenate(shifted, axis=-1)


def norm(size: int) -> Params:
    """A scale of 1 and an offset of 0, for the norms below."""
    return {"scale": jnp.ones(size), "offset": jnp.zeros(size)}


def layer_norm(layer: Params, x: Array) -> Array:
    """Over the last axis."""
    return _normalise(layer, x, (-1,))


def batch_norm(layer: Params, x: Array) -> Array:
    """Over all axes but the last, with the batch's own statistics."""
    return _normalise(layer, x, tuple(range(x.ndim - 1)))


def _normalise(layer: Params, x: Array, axes: tuple[int, ...]) -> Array:
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * layer["scale"] + layer["offset"]


def transformer(key: Array, symbols: int, length: int, width: int, blocks: int) -> Params:
    """A decoder with two heads, learned positions, and the norms before the blocks."""
    keys = iter(jax.random.split(key, 4 * blocks + 3))
    return {
        "symbols": jax.random.normal(next(keys), (symbols, width)) * 0.1,
        "places": jax.random.normal(next(keys), (length, width)) * 0.1,
        "blocks": [
            {
                "norm1": norm(width),
                "attend": dense(next(keys), width, 3 * width, 1.0),
                "mix": dense(next(keys), width, width, 1.0),
                "norm2": norm(width),
                "wide": dense(next(keys), width, 4 * width),
                "narrow": dense(next(keys), 4 * width, width, 1.0),
            }
            for _ in range(blocks)
        ],
        "norm": norm(width),
        "head": dense(next(keys), width, symbols, 1.0),
    }


def decode(params: Params, codes: Array, heads: int = 2) -> Array:
    """A transformer's logits for each next symbol, from codes (n, length)."""
    symbols, width = params["symbols"].shape
    # One-hot products: their gradient needs no scatter, which is slow on CPUs.
    x = jax.nn.one_hot(codes, symbols) @ params["symbols"] + params["places"]
    seen = jnp.tril(jnp.ones((codes.shape[1], codes.shape[1]), bool))
    for block in params["blocks"]:
        queries, keys, values = (
            part.reshape(*part.shape[:2], heads, width // heads)
            for part in jnp.split(apply(block["attend"], layer_norm(block["norm1"], x)), 3, -1)
        )
        scores = jnp.einsum("nqhd,nkhd->nhqk", queries, keys) / (width // heads) ** 0.5
        weights = jax.nn.softmax(jnp.where(seen, scores, -1e9))
        mixed = jnp.einsum("nhqk,nkhd->nqhd", weights, values).reshape(x.shape)
        x = x + apply(block["mix"], mixed)
        inner = jax.nn.gelu(apply(block["wide"], layer_norm(block["norm2"], x)))
        x = x + apply(block["narrow"], inner)
    return apply(params["head"], layer_norm(params["norm"], x))


def recurrent(key: Array, symbols: int, width: int) -> Params:
    """A gated recurrent unit over symbols, and a head."""
    keys = jax.random.split(key, 4)
    return {
        "symbols": jax.random.normal(keys[0], (symbols, width)) * 0.3,
        "gates": dense(keys[1], 2 * width, 2 * width, 1.0),
        "new": dense(keys[2], 2 * width, width, 1.0),
        "head": dense(keys[3], width, symbols, 1.0),
    }


def unroll(params: Params, codes: Array) -> Array:
    """A recurrent network's logits for each next symbol, from codes (n, length)."""
    symbols, width = params["symbols"].shape
    inputs = jax.nn.one_hot(codes, symbols) @ params["symbols"]

    def step(state: Array, x: Array) -> tuple[Array, Array]:
        both = jnp.concatenate([x, state], -1)
        reset, keep = jnp.split(jax.nn.sigmoid(apply(params["gates"], both)), 2, -1)
        new = jnp.tanh(apply(params["new"], jnp.concatenate([x, reset * state], -1)))
        state = keep * state + (1 - keep) * new
        return state, state

    start = jnp.zeros((codes.shape[0], width))
    _, states = jax.lax.scan(step, start, inputs.swapaxes(0, 1), unroll=True)
    return apply(params["head"], states.swapaxes(0, 1))


def cross_entropy(logits: Array, labels: Array) -> Array:
    """The mean over all labels."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1)
    return -chosen.mean()


def squared(outputs: Array, targets: Array) -> Array:
    """The mean squared error."""
    return ((outputs - targets) ** 2).mean()
