"""Searches on one device and on two, and reports what came of it.

python -m tests._scripts.keras_finding_on_replicas
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np

from layerwise.keras import LRMultiplier, find_lr
from layerwise.keras.callbacks import LRFinder
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.own_process import report

X, Y = make_data()
WEIGHTS = np.linspace(0, 3, len(X)).astype("float32")
FIT: dict[str, Any] = {"batch_size": 16, "shuffle": False, "verbose": 0}
RATES: dict[str, Any] = {"low": 1e-3, "high": 0.3}
SEARCH: dict[str, Any] = RATES | {"batch_size": 16, "shuffle": False, "progress": False}
PROBED = SEARCH | {"steps": 22}  # enough for probes, before which all is put back
SWEPT = SEARCH | {"steps": 10, "method": "sweep"}


class OnTensorFlow:
    """Two replicas; only what is made has to be made in the scope of their strategy."""

    def __init__(self) -> None:
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        self.strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert self.strategy.num_replicas_in_sync == 2
        self.making, self.training = self.strategy.scope, nullcontext

    def values(self, variable: Any) -> list[np.ndarray]:
        return [each.numpy() for each in variable.value.values]

    def shared_out(self) -> Any:
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((X, Y, WEIGHTS)).batch(16)
        return self.strategy.experimental_distribute_dataset(data)


class OnJax:
    """Two devices, for as long as Keras is told to use them."""

    def __init__(self) -> None:
        import jax

        assert len(jax.devices()) == 2
        self.making = self.training = self.together

    @contextmanager
    def together(self) -> Iterator[None]:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        yield
        keras.distribution.set_distribution(None)

    def values(self, variable: Any) -> list[np.ndarray]:
        return [np.asarray(shard.data) for shard in variable.value.addressable_shards]


def plain() -> Any:
    # With Adam's usual epsilon a gradient that is nothing but rounding makes a whole step, and what
    # one device computes would part from what two do. Gradients here are about 0.1.
    return LRMultiplier(keras.optimizers.Adam(epsilon=1e-3), {"low": 0.5})


def scaled() -> Any:
    return keras.optimizers.LossScaleOptimizer(LRMultiplier("sgd", {"low": 0.5}))


def make(optimizer: Any) -> Any:
    """The small network, which computes the same on any number of devices."""
    model = make_network()
    model.compile(optimizer, loss=loss())
    return model


def make_noisy() -> Any:
    """A network with state of each kind; on TensorFlow each replica has averages of its own."""
    keras.utils.set_random_seed(3)
    noisy = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
    layers = [keras.layers.Dense(8, name="low"), *noisy, keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    model.compile(plain(), loss=loss(), metrics=["accuracy"])
    return model


def curves(devices: Any) -> dict[str, list[Any]]:
    """What is found on one device and on two, the search called where the model was made."""

    def both(optimizer: Any, **options: Any) -> list[Any]:
        alone = find_lr(make(optimizer()), X, Y, **options)
        with devices.making():
            return [alone.to_config(), find_lr(make(optimizer()), X, Y, **options).to_config()]

    found = {
        "plain": both(plain, **PROBED),
        "weighted": both(plain, sample_weight=WEIGHTS, **SWEPT),
        "scaled": both(scaled, **SWEPT),
    }
    if keras.backend.backend() == "tensorflow":
        with devices.making():
            model = make(plain())
        shared_out = find_lr(model, devices.shared_out(), **SWEPT).to_config()
        found["shared out before"] = [found["weighted"][0], shared_out]
    return found


def traces(devices: Any) -> dict[str, Any]:
    """Which variables a search changes on any device, and on which of them these differ."""

    def state() -> dict[str, list[bytes]]:
        variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        return {v.path: [value.tobytes() for value in devices.values(v)] for v in variables}

    def changed() -> list[str]:
        after = state()
        return [path for path in before.keys() | after if before.get(path) != after.get(path)]

    with devices.making():
        model = make_noisy()
    with devices.training():
        model.fit(X, Y, **FIT)
        before = state()
        first = find_lr(model, X, Y, **PROBED)
        left = {"device": changed()}
        again = find_lr(model, X, Y, memory="host", **PROBED) == first
        left["host"] = changed()
        sweeping = LRFinder(1e-4, 1.0, steps=10)
        model.fit(X, Y, epochs=9, callbacks=[sweeping], **FIT)
        left["callback"] = changed()
    return {
        "left": left,
        "again": again,
        "callback": len(sweeping.finding.rates) if sweeping.finding else 0,
        "devices": [len(values) for values in before.values()],
        "differing": [path for path, values in before.items() if len(set(values)) > 1],
    }


def trained(devices: Any, search: bool) -> list[Any]:
    """What comes of training a new model, with or without a search before anything is built."""
    with devices.making():
        model = make_noisy()
    with devices.training():
        if search:
            find_lr(model, X, Y, **SWEPT)
        history = model.fit(X, Y, epochs=2, **FIT).history
        variables = [*model.variables, *model.optimizer.variables]
        return [history, [[x.tolist() for x in devices.values(v)] for v in variables]]


def main() -> None:
    devices = OnTensorFlow() if keras.backend.backend() == "tensorflow" else OnJax()
    report(
        curves=curves(devices),
        **traces(devices),
        trained=[trained(devices, search) for search in (True, False)],
    )


if __name__ == "__main__":
    main()
