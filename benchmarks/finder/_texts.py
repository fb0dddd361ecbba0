"""Tasks on text: transformers, a recurrent network, embeddings."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import _data, _layers
from ._task import Task

LENGTH = 16
SYMBOLS = 64
_KNOWN = 400


def characters_of(source: str) -> Any:
    """Windows of "english" or of "code", a character longer than what is predicted from."""
    if source == "english":
        return (_data.characters(_data.english(), LENGTH, 7),)
    return (_data.characters("".join(_data.modules()), LENGTH, 23),)


_english = partial(characters_of, "english")
_code = partial(characters_of, "code")


def predict(params: Any, codes: Any) -> Any:
    """A transformer's loss."""
    return _layers.cross_entropy(_layers.decode(params, codes[:, :-1]), codes[:, 1:])


def recur(params: Any, codes: Any) -> Any:
    """A recurrent network's loss."""
    return _layers.cross_entropy(_layers.unroll(params, codes[:, :-1]), codes[:, 1:])


_transformer = partial(_layers.transformer, symbols=SYMBOLS, length=LENGTH)


@cache
def _pretrained() -> Any:
    """A transformer after 1,000 steps of Adam on English."""
    codes = jnp.asarray(_english()[0])
    params = _transformer(jax.random.key(7), width=16, blocks=2)
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 1000))
    order = jax.random.randint(jax.random.key(8), (1000, 16), 0, len(codes))

    @jax.jit
    def train(params: Any) -> Any:
        def step(carry: Any, places: Any) -> Any:
            params, state = carry
            updates, state = optimizer.update(jax.grad(predict)(params, codes[places]), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), order)[0][0]

    return train(params)


def _finetune_init(key: Any) -> Any:
    """All of the English network but its head."""
    return _pretrained() | {"head": _layers.dense(key, 16, SYMBOLS, 1.0)}


def passages() -> Any:
    """Which of Python's modules 30 words in a row are from, as counts of 500 words."""
    counts, labels = [], []
    everything = " ".join(_data.modules())
    ranks = _data.words(everything, 500)
    start = 0
    for label, module in enumerate(_data.modules()):
        length = len(_data.words(module, 500))
        own = ranks[start : start + length]
        start += length
        for first in range(0, length - 30, 10):
            counts.append(np.bincount(own[first : first + 30], minlength=500))
            labels.append(label)
    return np.array(counts, "float32") / 30, np.array(labels, "int32")


def _bag_init(key: Any) -> Any:
    keys = jax.random.split(key)
    return {
        "words": jax.random.normal(keys[0], (500, 16)),
        "head": _layers.dense(keys[1], 16, 10, 1.0),
    }


def _bag(params: Any, counts: Any, labels: Any) -> Any:
    return _layers.cross_entropy(_layers.apply(params["head"], counts @ params["words"]), labels)


def _next_words() -> Any:
    ranks = _data.words(_data.english(), _KNOWN)
    return (ranks[np.arange(len(ranks) - 4)[:, None] + np.arange(4)],)


def _next_init(key: Any) -> Any:
    keys = jax.random.split(key, 3)
    return {
        "words": jax.random.normal(keys[0], (_KNOWN, 12)) * 0.3,
        "dense": _layers.dense(keys[1], 36, 24),
        "head": _layers.dense(keys[2], 24, _KNOWN, 1.0),
    }


def _next(params: Any, ranks: Any) -> Any:
    before = (jax.nn.one_hot(ranks[:, :3], _KNOWN) @ params["words"]).reshape(len(ranks), -1)
    hidden = jax.nn.relu(_layers.apply(params["dense"], before))
    return _layers.cross_entropy(_layers.apply(params["head"], hidden), ranks[:, 3])


TASKS = (
    Task("english-transformer", _english, partial(_transformer, width=16, blocks=2), predict, 12),
    Task("code-transformer", _code, partial(_transformer, width=12, blocks=3), predict, 12),
    Task("code-finetuned", _code, _finetune_init, predict, 12),
    Task(
        "english-recurrent",
        _english,
        partial(_layers.recurrent, symbols=SYMBOLS, width=20),
        recur,
        12,
    ),
    Task("passages-embedded", passages, _bag_init, _bag),
    Task("words-embedded", _next_words, _next_init, _next),
)
