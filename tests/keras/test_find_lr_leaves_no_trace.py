"""After a search, however it ends, everything is as it was."""

import random
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine
from layerwise.keras import LRMultiplier, find_lr
from tests._support.keras.everything import everything
from tests._support.keras.networks import make_data

OPTIMIZERS: dict[str, Any] = {
    "adam": keras.optimizers.Adam,
    "nadam with ema": lambda: keras.optimizers.Nadam(use_ema=True, ema_overwrite_frequency=3),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)),
    "accumulating": lambda: keras.optimizers.Adam(gradient_accumulation_steps=2),
    "multiplied": lambda: LRMultiplier("adam", {"first": 0.1}, schedule=cosine(20)),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(LRMultiplier("sgd", {"first": 0.1})),
}


def make(optimizer: str = "adam", built: bool = True, model: type = keras.Sequential) -> Any:
    """A network with dropout and batch normalization, compiled, not trained."""
    keras.utils.set_random_seed(11)
    layers = [
        keras.layers.Dense(8, activation="tanh", name="first"),
        keras.layers.Dropout(0.3),
        keras.layers.BatchNormalization(),
        keras.layers.Dense(3, name="last"),
    ]
    made = model([keras.Input((6,)), *layers] if built else layers, name="network")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(OPTIMIZERS[optimizer](), loss=loss, metrics=["accuracy"])
    return made


def search(model: Any, x: Any = None, y: Any = None, **options: Any) -> Any:
    if x is None:
        x, y = make_data(40)
    return find_lr(model, x, y, **{"batch_size": 8, "steps": 10, "progress": False} | options)


def train(model: Any) -> dict[str, Any]:
    """Two epochs with shuffled data; all that came of it but the model's functions."""
    x, y = make_data(40)
    history = model.fit(x, y, batch_size=8, epochs=2, verbose=0).history
    after = everything(model)
    for name in ("objects", "gradient objects", "rate"):
        after.pop(name, None)
    return after | {"history": history}


@pytest.mark.parametrize(
    ("optimizer", "memory"),
    [*((name, "device") for name in OPTIMIZERS), ("adam", "host"), ("multiplied", "host")],
)
def test_all_is_as_before(optimizer: str, memory: str) -> None:
    model = make(optimizer)
    before = everything(model)
    found = search(model, memory=memory)
    assert found.updates >= 10
    assert everything(model) == before
    assert train(model) == train(make(optimizer))


def test_all_is_as_before_in_the_midst_of_training() -> None:
    model = make()
    train(model)
    before = everything(model)
    search(model)
    assert everything(model) == before
    result = train(model)
    other = make()
    train(other)
    assert result == train(other)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's tensors have gradients")
def test_gradients_are_put_back() -> None:
    import torch

    model = make()
    for variable in model.trainable_variables:
        variable.value.grad = torch.ones(variable.value.shape)
    before = everything(model)
    search(model)
    assert everything(model) == before


def test_a_model_without_weights_is_built_as_fit_would() -> None:
    model = make(built=False)
    search(model)
    assert model.built
    assert not model.optimizer.built
    assert train(model) == train(make(built=False))


def test_a_loss_that_is_nan_from_the_first_batch() -> None:
    x, y = make_data(40)
    x[:, 0] = np.nan
    model = make()
    before = everything(model)
    found = search(model, x, y)
    assert found.suggestion is None
    assert found.stopped == "diverged"
    assert everything(model) == before


def test_data_that_ends_early() -> None:
    x, y = make_data(40)
    model = make()
    before = everything(model)
    found = search(model, ((x[:8], y[:8]) for _ in range(4)), method="sweep")
    assert found.stopped == "data ended"
    assert len(found.rates) == 4
    assert everything(model) == before


class Failing(keras.Sequential):
    """A model whose step goes wrong after some batches, where it runs eagerly."""

    after = 3
    steps = 0  # of the class: a search puts back what the model itself counts

    def train_step(self, *arguments: Any) -> Any:
        result = super().train_step(*arguments)
        Failing.steps += 1
        if Failing.steps > self.after:
            raise self.error
        return result


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), KeyboardInterrupt()])
@pytest.mark.parametrize("memory", ["device", "host"])
def test_a_step_that_raises(error: BaseException, memory: str) -> None:
    model = make(model=Failing)
    model.run_eagerly, model.jit_compile = True, False
    Failing.steps, model.error = 0, error
    before = everything(model)
    with pytest.raises(type(error)):
        search(model, memory=memory)
    assert Failing.steps > model.after
    assert everything(model) == before


@pytest.mark.parametrize("error", [RuntimeError("no more"), KeyboardInterrupt()])
def test_data_that_raises(error: BaseException) -> None:
    x, y = make_data(40)

    def batches() -> Any:
        for _ in range(5):
            yield x[:8], y[:8]
        raise error

    model = make()
    before = everything(model)
    with pytest.raises(type(error)):
        search(model, batches())
    assert everything(model) == before


def test_data_that_raises_at_once() -> None:
    class Broken(keras.utils.PyDataset):
        """Draws a number, and fails."""

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            raise RuntimeError(f"no batch today: {np.random.normal()}")

    model = make()
    before = everything(model)
    with pytest.raises(RuntimeError, match="no batch today"):
        search(model, Broken())
    assert everything(model) == before


def test_random_states_are_put_back() -> None:
    """Also those that only the data and the train step draw from."""

    class Noisy(keras.utils.PyDataset):
        """Batches with noise from the generators of Python and NumPy."""

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            noise = np.random.normal(size=(8, 6)) + random.random()
            return noise.astype("float32"), np.arange(8) % 3

    model = make()
    search(model)  # Keras' own generator may be made by a first one
    before = everything(model)
    search(model, Noisy())
    assert everything(model) == before


def test_the_rate_may_be_set_before_and_after() -> None:
    model = make()
    model.optimizer.learning_rate = 0.125
    search(model)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == 0.125
    model.optimizer.learning_rate = 0.25
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == 0.25
