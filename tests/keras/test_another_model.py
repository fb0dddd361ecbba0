"""In ``fit`` an optimizer trains the model that it was built on; its errors cost no weights."""

from typing import Any

import keras
import pytest

from layerwise import linear
from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras import LRMultiplier
from layerwise.keras.callbacks import Counter
from tests._support.keras.networks import fit, loss, make_data, make_network
from tests._support.keras.variables import bits

X, Y = make_data(16)


def train(model: Any, **options: Any) -> None:
    model.fit(X, Y, batch_size=8, verbose=0, **options)


@pytest.mark.parametrize("averaged", [False, True])
def test_the_optimizer_of_another_model_is_refused(averaged: bool) -> None:
    plain = keras.optimizers.SGD(0.1, momentum=0.9, use_ema=averaged)
    optimizer = LRMultiplier(plain, {"low": 0})
    first, second = make_network(), make_network(seed=4)
    fit(first, optimizer)
    before, state = bits(second.weights), bits(optimizer.variables)
    second.compile(optimizer, loss=loss())
    with pytest.raises((OptimizerError, ValueError), match=r"another model|Unknown variable"):
        train(second)
    assert bits(second.weights) == before
    assert bits(optimizer.variables) == state
    fit(second, LRMultiplier("sgd"))
    assert bits(second.weights) != before


def test_on_jax_the_error_names_the_weights_and_the_way_out() -> None:
    if keras.backend.backend() != "jax":
        pytest.skip("elsewhere the error is Keras' own")
    optimizer = LRMultiplier("sgd", {"low": 0})
    fit(make_network(), optimizer)
    with pytest.raises(OptimizerError, match=r"low/kernel.*an optimizer of its own"):
        fit(make_network(seed=4), optimizer)


def test_another_model_of_the_same_layers_is_none() -> None:
    optimizer = LRMultiplier("sgd", {"low": 0})
    first = make_network()
    fit(first, optimizer)
    second = keras.Model(first.inputs, first.outputs)
    second.compile(optimizer, loss=loss())
    train(second)
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 8 + 2


def test_an_error_in_the_first_step_leaves_the_weights() -> None:
    model = make_network()
    schedule = linear(100).by("samples")
    model.compile(LRMultiplier("adam", schedule=schedule), loss=loss())
    before = bits(model.weights)
    with pytest.raises(ScheduleError, match="nobody counts"):
        train(model)
    assert bits(model.weights) == before
    model.compile(LRMultiplier("adam", schedule=schedule), loss=loss())
    train(model, callbacks=[Counter(samples=8)])
    assert model.optimizer.counts == {"samples": 16}
    assert bits(model.weights) != before
