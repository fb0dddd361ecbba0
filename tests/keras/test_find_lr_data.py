"""A search takes what ``fit`` takes, and leaves the data as it was."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from layerwise.keras import find_lr
from tests._support.keras.networks import loss, make_data, make_network

X, Y = make_data(48)
SWEEP: dict[str, Any] = {
    "method": "sweep",
    "stop": "never",
    "progress": False,
    "steps": 12,
    "low": 1e-4,
    "high": 1.0,
}


def make() -> Any:
    model = make_network()
    model.compile("adam", loss=loss())
    return model


def dataset() -> Any:
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


def shuffled(cached: bool = False) -> Any:
    tf = pytest.importorskip("tensorflow")
    tf.random.set_seed(7)
    made = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(48, reshuffle_each_iteration=True)
    return (made.cache() if cached else made).shuffle(48).batch(16).prefetch(2)


def loader(**options: Any) -> Any:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    return torch.utils.data.DataLoader(data, batch_size=16, **options)


def generator() -> Iterator[Any]:
    for i in range(0, 48 * 4, 16):
        yield X[i % 48 : i % 48 + 16], Y[i % 48 : i % 48 + 16]


class Slices(keras.utils.PyDataset):
    """Sixteen samples at a time; counts the ends of epochs, of which a search has none."""

    ends = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return X[16 * index : 16 * index + 16], Y[16 * index : 16 * index + 16]

    def on_epoch_end(self) -> None:
        self.ends += 1


def tensors() -> Any:
    return keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)


KINDS: dict[str, Callable[[], Any]] = {
    "dataset": dataset,
    "loader": loader,
    "generator": generator,
    "PyDataset": Slices,
    "PyDataset with workers": lambda: Slices(workers=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_curve(kind: str) -> None:
    expected = find_lr(make(), X, Y, batch_size=16, shuffle=False, **SWEEP)
    found = find_lr(make(), KINDS[kind](), shuffle=False, **SWEEP)
    assert found.rates == expected.rates
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)


def test_tensors_of_the_backend() -> None:
    expected = find_lr(make(), X, Y, batch_size=16, shuffle=False, **SWEEP)
    found = find_lr(make(), *tensors(), batch_size=16, shuffle=False, **SWEEP)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)


@pytest.mark.parametrize("nested", [dict, list])
def test_nested_inputs(nested: type) -> None:
    keras.utils.set_random_seed(2)
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((4,), name="b")}
    merged = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs if nested is dict else list(inputs.values()),
                        keras.layers.Dense(3)(merged))  # fmt: skip
    model.compile("sgd", loss=loss())
    parts = {"a": X[:, :2], "b": X[:, 2:]}
    x = parts if nested is dict else list(parts.values())
    assert len(find_lr(model, x, Y, **SWEEP).losses) == 12


def later(model: Any, data: Any) -> list[Any]:
    history = model.fit(data, epochs=2, shuffle=False, verbose=0).history["loss"]
    return [history, *[w.tolist() for w in model.get_weights()]]


@pytest.mark.parametrize("cached", [False, True])
def test_a_dataset_that_shuffles_is_not_moved_on(cached: bool) -> None:
    model, data = make(), shuffled(cached)
    first = find_lr(model, data, **SWEEP)
    assert find_lr(model, data, **SWEEP) == first
    assert later(model, data) == later(make(), shuffled(cached))


def test_a_loader_with_a_generator_is_not_moved_on() -> None:
    torch = pytest.importorskip("torch")

    def seeded() -> Any:
        return loader(shuffle=True, generator=torch.Generator().manual_seed(3))

    model, data = make(), seeded()
    first = find_lr(model, data, **SWEEP)
    assert find_lr(model, data, **SWEEP) == first
    if keras.backend.backend() != "tensorflow":  # where Keras draws ahead from a loader
        assert later(model, data) == later(make(), seeded())


def test_a_py_dataset_is_told_of_no_epoch() -> None:
    data = Slices()
    find_lr(make(), data, **SWEEP)
    assert data.ends == 0


def test_what_a_generator_has_left_can_be_trained_on() -> None:
    data = generator()
    find_lr(make(), data, **(SWEEP | {"steps": 10}))
    assert len(list(data)) == 2


def test_a_batch_for_an_update_may_go_around_the_data() -> None:
    model = make_network()
    model.compile(keras.optimizers.SGD(gradient_accumulation_steps=4), loss=loss())
    found = find_lr(model, X, Y, batch_size=16, **SWEEP)
    assert len(found.losses) == 12


@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator"])
def test_rates_are_compared_on_validation_data(kind: str) -> None:
    options = {"batch_size": 16, "shuffle": False, "steps": 60, "progress": False}
    plain = find_lr(make(), X, Y, **options)
    data = (X, Y) if kind == "arrays" else KINDS[kind]()
    found = find_lr(make(), X, Y, held_out=data, **options)
    assert found.losses == plain.losses
    assert plain.probes
    assert found.probes
    assert found.probes != plain.probes
