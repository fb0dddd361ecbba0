"""A search puts back what layers, models, metrics and losses keep in Python."""

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import piecewise_constant
from layerwise.keras import LRMultiplier, find_lr
from tests._support.keras.everything import everything

BACKEND = keras.backend.backend()
X = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
Y = X[:, :1] * 2 - X[:, 1:2]


@dataclass
class Book:
    """What a user may keep numbers in."""

    count: int = 0
    rows: list[int] = field(default_factory=list)


def detached(x: Any) -> Any:
    return x.detach() if BACKEND == "torch" else x


def count(layer: Any, x: Any) -> None:
    layer._count += 1


def hidden(layer: Any, x: Any) -> None:
    layer._hidden = detached(x)


def new_attribute(layer: Any, x: Any) -> None:
    layer.newest = "met"


def lists(layer: Any, x: Any) -> None:
    layer.seen.append(1)
    layer.seen[0] = "changed"


def tuples(layer: Any, x: Any) -> None:
    layer.pair[0][0] += 1
    layer.pair[1].append(1)


def nested(layer: Any, x: Any) -> None:
    layer.book["deep"]["deeper"].append(1)
    layer.book["deep"]["array"][1] += 1
    layer.book["new"] = layer.book.pop("old", None)


def other_containers(layer: Any, x: Any) -> None:
    layer.others.queues[0].append(1)
    layer.others.ordered.move_to_end("a")
    layer.others.counter.update("ab")
    layer.others.default["b"].append(1)
    layer.others.set.add(2)


def objects(layer: Any, x: Any) -> None:
    layer.note.count += 1
    layer.note.rows.append(1)
    layer.space.last = detached(x)


def generators(layer: Any, x: Any) -> None:
    layer.generator.normal()


KEEPERS: list[Callable[[Any, Any], None]] = [
    *(count, hidden, new_attribute, lists, tuples, nested),
    *(other_containers, objects, generators),
]


class Keeper(keras.layers.Layer):
    """Passes its input on, and keeps something each time that it runs."""

    def __init__(self, keep: Any, log: list[Any]) -> None:
        super().__init__(name="keeper")
        self._count, self._hidden, self.seen = 0, None, ["first"]
        self.pair = (np.zeros(2), [0])
        self.book = {"deep": {"deeper": [0], "array": np.zeros(2)}, "old": 1}
        self.others = SimpleNamespace(  # Keras makes dicts of its own of all dicts that it sees
            queues=[deque([0], maxlen=3)],
            ordered=OrderedDict(a=1, b=2),
            counter=Counter("a"),
            default=defaultdict(list, a=[1]),
            set={1},
        )
        self.note, self.space = Book(), SimpleNamespace(last=None)
        self.generator = np.random.default_rng(0)
        self.keep, self.log = keep, SimpleNamespace(add=log.append)

    def call(self, x: Any) -> Any:
        self.log.add(self.state())
        self.keep(self, x)
        return x

    def state(self) -> str:
        """All of it as text."""
        parts = [self._count, self._hidden, getattr(self, "newest", None), self.seen, self.pair]
        parts += [self.book, self.others, self.note, self.space, self.generator.bit_generator.state]
        return repr(parts)


def make(*layers: Any, model: type = keras.Sequential, **options: Any) -> Any:
    keras.utils.set_random_seed(3)
    made = model([keras.Input((4,)), *layers, keras.layers.Dense(1, name="head")], name="network")
    made.compile(**{"optimizer": "adam", "loss": "mse"} | options)
    if made.run_eagerly:
        made.jit_compile = False
    return made


def search(model: Any, x: Any = X, **options: Any) -> Any:
    return find_lr(model, x, Y, **{"batch_size": 8, "steps": 10, "progress": False} | options)


@pytest.mark.parametrize("eagerly", [True, False], ids=["eagerly", "compiled"])
@pytest.mark.parametrize("keep", KEEPERS, ids=lambda keep: keep.__name__)
def test_what_a_layer_keeps_is_as_before(keep: Any, eagerly: bool) -> None:
    log: list[str] = []
    layer = Keeper(keep, log)
    model = make(layer, run_eagerly=eagerly)
    for _ in range(2):
        before, held = layer.state(), (layer.book["deep"], layer.pair[0], layer.note)
        everything_before = everything(model)
        found = search(model)
        assert found.updates >= 10
        assert layer.state() == before
        now = layer.book["deep"], layer.pair[0], layer.note
        assert [id(a) for a in held] == [id(a) for a in now]
        assert everything(model) == everything_before
        model.fit(X, Y, batch_size=8, verbose=0)  # and in the midst of training
    assert len(set(log)) > 1  # it does keep something


def test_every_probe_begins_from_the_same_state() -> None:
    """The count goes back to that of the start, once for each short training, and nowhere else."""
    log: list[Any] = []
    layer = Keeper(count, [])
    layer.keep = lambda layer, x: (log.append(layer._count), count(layer, x))
    model = make(layer, optimizer="sgd", run_eagerly=True)
    model.fit(X, Y, batch_size=8, verbose=0)
    log.clear()
    start = layer._count
    found = search(model, low=1e-3, steps=80)
    begun = [after for before, after in pairwise(log) if after != before + 1]
    assert len(begun) > len(found.probes) > 1
    assert set(begun) == {start} == {log[0]}


def value(variable: Any) -> bytes:
    return np.asarray(ops.convert_to_numpy(variable)).tobytes()


class Stepping(keras.Sequential):
    """A model whose train_step() keeps Python state."""

    def train_step(self, *arguments: Any) -> Any:
        self.batches_seen += 1
        self._log.append(self.batches_seen)
        self.kept["last"] = self.batches_seen
        return super().train_step(*arguments)


def test_what_a_train_step_keeps() -> None:
    model = make(model=Stepping, run_eagerly=True)
    model.batches_seen, model._log, model.kept = 0, [], {}
    search(model)
    assert (model.batches_seen, model._log, model.kept) == (0, [], {})
    model.fit(X, Y, batch_size=8, verbose=0)
    log = model._log
    search(model)
    assert (model.batches_seen, model._log, model.kept["last"]) == (5, [1, 2, 3, 4, 5], 5)
    assert model._log is log


class CountingLoss(keras.losses.Loss):
    """Mean squared error that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = [0]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        self.calls[0] += 1
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


class CountingMetric(keras.metrics.Mean):
    """A metric that counts in Python beside its variables."""

    updates = 0

    def update_state(self, *values: Any, **options: Any) -> None:
        self.updates = self.updates + 1
        super().update_state(values[0])


def test_what_losses_and_metrics_keep() -> None:
    loss, metric = CountingLoss(), CountingMetric(name="counting")
    model = make(loss=loss, metrics=[metric], run_eagerly=True)
    search(model)
    assert (loss.calls, metric.updates) == ([0], 0)
    model.fit(X, Y, batch_size=8, verbose=0)
    before = loss.calls[0], metric.updates
    assert min(before) >= 5
    search(model)
    assert (loss.calls[0], metric.updates) == before


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "LSTM"])
def test_a_stateful_recurrent_layer(kind: str) -> None:
    if BACKEND == "torch" and kind != "SimpleRNN":
        pytest.skip("Keras itself can't train it on PyTorch")
    inputs = keras.Input(batch_shape=(8, 5, 4))
    keras.utils.set_random_seed(1)
    recurrent = getattr(keras.layers, kind)(3, stateful=True)
    model = keras.Model(inputs, keras.layers.Dense(1)(recurrent(inputs)))
    model.compile("adam", loss="mse")
    x = np.random.default_rng(1).normal(size=(40, 5, 4)).astype("float32")
    first = search(model, x)
    assert all(not np.any(ops.convert_to_numpy(state)) for state in recurrent.states)
    model.fit(x, Y, batch_size=8, shuffle=False, verbose=0)
    before = everything(model)
    second = search(model, x)
    assert everything(model) == before
    assert search(model, x) == second
    assert second != first


class Noise(keras.layers.Layer):
    """Noise from a generator that Keras tracks, or that it can't see."""

    def __init__(self, tracked: bool) -> None:
        super().__init__()
        generator = keras.random.SeedGenerator(7)
        self.holder = generator if tracked else SimpleNamespace(seeds=generator)

    def call(self, x: Any) -> Any:
        seeds = getattr(self.holder, "seeds", self.holder)
        return x + 0.1 * keras.random.normal(ops.shape(x), seed=seeds)


@pytest.mark.parametrize(
    "tracked",
    [
        True,
        pytest.param(
            False,
            marks=pytest.mark.skipif(BACKEND == "jax", reason="JAX can't train what is hidden"),
        ),
    ],
)
def test_generators_of_seeds(tracked: bool) -> None:
    layer = Noise(tracked)
    model = make(layer)
    state = getattr(layer.holder, "seeds", layer.holder).state
    before = value(state)
    first = search(model)
    assert value(state) == before
    assert search(model) == first
    model.fit(X, Y, batch_size=8, verbose=0)
    assert value(state) != before


@pytest.mark.skipif(BACKEND != "torch", reason="modules of PyTorch")
def test_a_module_of_pytorch_inside() -> None:
    import torch

    class Counting(torch.nn.Module):
        """Counts in a buffer, in place, and in an attribute."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4)
            self.register_buffer("calls", torch.zeros(()))
            self._state = [torch.zeros(2)]
            self.number = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            self._state[0] += 1
            self.number += 1
            return self.norm(x)

    module = Counting()
    model = make(keras.layers.TorchModuleWrapper(module))
    for _ in range(2):
        before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        kept = module._state[0].tolist(), module.number
        objects = [id(tensor) for tensor in (module.calls, module._state[0])]
        search(model)
        after = module.state_dict()
        assert [n for n, tensor in before.items() if not torch.equal(tensor, after[n])] == []
        assert (module._state[0].tolist(), module.number) == kept
        assert [id(tensor) for tensor in (module.calls, module._state[0])] == objects
        model.fit(X, Y, batch_size=8, verbose=0)
    assert module.number > 5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="variables of TensorFlow itself")
def test_a_variable_of_tensorflow_inside() -> None:
    import tensorflow as tf

    class Counting(keras.layers.Layer):
        """Counts its calls inside the compiled step."""

        def __init__(self) -> None:
            super().__init__()
            self.calls = {"count": tf.Variable(0.0, trainable=False)}

        def call(self, x: Any) -> Any:
            self.calls["count"].assign_add(1.0)
            return x

    layer = Counting()
    model = make(layer)
    model.fit(X, Y, batch_size=8, verbose=0)
    before = float(layer.calls["count"])
    search(model)
    assert float(layer.calls["count"]) == before >= 5


def test_moving_multipliers_are_those_of_the_step_that_training_is_at() -> None:
    rules = {"body": piecewise_constant([5], [0.0, 0.25])}
    adam = keras.optimizers.Adam(1e-3)
    model = make(keras.layers.Dense(4, name="body"), optimizer=LRMultiplier(adam, rules))
    assert search(model).group_factors["body"] == 0.0
    model.fit(X, Y, batch_size=8, verbose=0)
    before = everything(model)
    assert search(model).group_factors["body"] == 0.25
    assert everything(model) == before
