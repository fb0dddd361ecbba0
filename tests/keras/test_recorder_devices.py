"""Several devices record what one does. Each case runs in a process of its own devices."""

import json

import keras
import numpy as np
import pytest

from tests.keras.test_distribution import run

BACKEND = keras.backend.backend()

COMMON = """
import json, keras, tempfile
from layerwise.keras import LRMultiplier, Recorder
from layerwise.keras.callbacks import CircularLR, LRUpdater
from layerwise.recorder import History
from tests._support.keras.networks import loss, make_data, make_network

class Number(LRUpdater):
    def update_lr(self):
        return 0.01 / (1 + self.step)

def train(updater):
    model = make_network()
    model.compile(
        LRMultiplier("adam", {"low": 0.5}), loss=loss(),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    )
    run = tempfile.mkdtemp()
    model.fit(*make_data(), batch_size=16, epochs=2, shuffle=False, verbose=0,
              callbacks=[Recorder(run, ratios=2), updater])
    batch = History.load(run).batch
    return [batch[k].tolist() for k in (
        "step", "loss", "accuracy", "rates/low", "ratios/high")]
"""

MIRRORED = (
    COMMON
    + """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for make in (Number, lambda: CircularLR(2, 0.001, 0.01)):
    alone = train(make())
    with strategy.scope():
        together = train(make())
    print(json.dumps([alone, together]))
"""
)

DATA_PARALLEL = (
    COMMON
    + """
import jax
assert len(jax.devices()) == 4
for make in (Number, lambda: CircularLR(2, 0.001, 0.01)):
    alone = train(make())
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=jax.devices()))
    together = train(make())
    keras.distribution.set_distribution(None)
    print(json.dumps([alone, together]))
"""
)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX")
def test_several_devices_record_what_one_does() -> None:
    if BACKEND == "tensorflow":
        results = run(MIRRORED)
    else:
        results = run(DATA_PARALLEL, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    assert len(results) == 2
    for alone, together in results:
        assert together[0] == list(range(8))
        for one, several in zip(alone, together, strict=True):
            assert len(several) == 8
            np.testing.assert_allclose(several, one, rtol=2e-4, atol=1e-6)
    assert json.dumps(results).count("NaN") == 16  # ratios at every second step
