"""An installed Layerwise with Keras: a frozen layer stays, another learns, a rate is found."""

import keras
import numpy as np

from layerwise import cosine, warmup
from layerwise.keras import LRMultiplier, Recorder, explain, find_lr

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((4,)),
        keras.layers.Dense(8, activation="relu", name="body"),
        keras.layers.Dense(1, name="head"),
    ]
)
rules = {"body": 0.0, "head": 2.0}
assert "body/kernel" in str(explain(model, rules, optimizer="adam"))
optimizer = LRMultiplier(keras.optimizers.Adam(1e-2), rules, schedule=warmup(4) >> cosine(60))
model.compile(optimizer, loss="mse")
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x @ np.array([[1.0], [-2.0], [0.5], [0.0]], "float32")

found = find_lr(model, x, y, batch_size=8, steps=40)
assert found.reason
body, head = (model.get_layer(name).kernel.numpy().copy() for name in ("body", "head"))
model.fit(x, y, batch_size=8, epochs=8, verbose=0, callbacks=[Recorder("run")])
np.testing.assert_array_equal(model.get_layer("body").kernel.numpy(), body)
assert not np.array_equal(model.get_layer("head").kernel.numpy(), head)
