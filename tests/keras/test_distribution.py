"""Several devices give the weights of one. Each case runs in a process of its own devices."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()

COMMON = """
import json, keras, numpy as np
from layerwise import linear, warmup, cosine
from layerwise.keras import LRMultiplier
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.keras.variables import arrays

RULES = {"low": linear(8, start=0.0, end=1.0), "middle": 0, "high": 2.0}

def train(options):
    model = make_network()
    model.compile(
        LRMultiplier(
            keras.optimizers.Nadam(0.01, weight_decay=0.01, **options),
            RULES, schedule=warmup(4) >> cosine(12),
        ),
        loss=loss(),
    )
    x, y = make_data()
    model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    return [a.tolist() for a in arrays(model.weights)]
"""

MIRRORED = (
    COMMON
    + """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
# Without clipping: Keras itself clips what each replica sees, before the sum.
for options in ({}, {"beta_1": 0.8}):
    alone = train(options)
    with strategy.scope():
        together = train(options)
    print(json.dumps([alone, together]))
"""
)

DATA_PARALLEL = (
    COMMON
    + """
import jax
assert len(jax.devices()) == 4
for options in ({}, {"global_clipnorm": 0.5}):
    alone = train(options)
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=jax.devices()))
    together = train(options)
    keras.distribution.set_distribution(None)
    print(json.dumps([alone, together]))
"""
)

COUNTED = """
from layerwise.keras.callbacks import Counter

def make():
    model = make_network()
    schedule, rules = linear(200).by("samples"), {"low": linear(300).by("samples")}
    sgd = keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(LRMultiplier(sgd, rules, schedule=schedule), loss=loss())
    return model

def counted_by_fit():
    model, (x, y) = make(), make_data()
    counter = Counter(samples=16)
    model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0, callbacks=[counter])
    assert model.optimizer.counts == {"samples": 192}
    return [a.tolist() for a in arrays(model.weights)]
"""

MIRRORED_COUNTS = (
    MIRRORED.partition("# Without clipping")[0]
    + COUNTED
    + """
def counted_by_hand(inside):
    model = make()
    optimizer, weights = model.optimizer, model.trainable_variables
    optimizer.build(weights)
    total = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def step(x, y):
        with tf.GradientTape() as tape:
            value = total(y, model(x, training=True)) / 16
        if inside:
            optimizer.count(samples=tf.shape(x)[0])
        optimizer.apply(tape.gradient(value, weights), weights)

    data = tf.data.Dataset.from_tensor_slices(make_data()).batch(16).repeat(3)
    alone = not tf.distribute.has_strategy()
    run = tf.function(step if alone else lambda x, y: strategy.run(step, args=(x, y)))
    for batch in data if alone else strategy.experimental_distribute_dataset(data):
        if not inside:
            optimizer.count(samples=16)
        run(*batch)
    assert optimizer.counts == {"samples": 192}
    return [a.tolist() for a in arrays(model.weights)]

for train in (counted_by_fit, lambda: counted_by_hand(True), lambda: counted_by_hand(False)):
    alone = train()
    with strategy.scope():
        together = train()
    print(json.dumps([alone, together]))
"""
)

DATA_PARALLEL_COUNTS = (
    COMMON
    + COUNTED
    + """
import jax
assert len(jax.devices()) == 4
alone = counted_by_fit()
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=jax.devices()))
print(json.dumps([alone, counted_by_fit()]))
"""
)


def run(script: str, **environment: str) -> list[list[list[list[float]]]]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"KERAS_BACKEND": BACKEND} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[[")]


def assert_the_same(results: list[list[list[list[float]]]], runs: int = 2) -> None:
    # Sums over devices are made in another order than over one batch: float32 rounding of
    # gradients, which Nadam's division by the root of their squares carries to the weights.
    assert len(results) == runs
    for alone, together in results:
        for a, b in zip(alone, together, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's; runs there")
def test_mirrored_strategy_on_two_devices() -> None:
    assert_the_same(run(MIRRORED))


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is JAX's; runs there")
def test_data_parallel_on_four_devices() -> None:
    assert_the_same(run(DATA_PARALLEL, XLA_FLAGS="--xla_force_host_platform_device_count=4"))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.distribute is TensorFlow's; runs there")
def test_what_is_counted_on_two_devices() -> None:
    assert_the_same(run(MIRRORED_COUNTS), runs=3)


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution is JAX's; runs there")
def test_what_is_counted_on_four_devices() -> None:
    devices = "--xla_force_host_platform_device_count=4"
    assert_the_same(run(DATA_PARALLEL_COUNTS, XLA_FLAGS=devices), runs=1)
