"""What can't be searched with is refused with one clear error, and nothing has changed."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise.errors import FinderError
from layerwise.keras import find_lr
from tests._support.keras.everything import everything
from tests._support.keras.networks import loss, make_data, make_network

X, Y = make_data(32)


def make(**options: Any) -> Any:
    model = make_network()
    model.compile(**{"optimizer": "sgd", "loss": loss()} | options)
    return model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"sample_weight": np.ones(32), "class_weight": {0: 1.0}}, "can't train on this data"),
    ],
)
def test_arguments(arguments: dict[str, Any], message: str) -> None:
    model = make()
    before = everything(model)
    with pytest.raises(FinderError, match=message):
        find_lr(model, X, Y, progress=False, **arguments)
    assert everything(model) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((), "pass x"),
        ((X[:0], Y[:0]), "no batch"),
        ((iter(()),), "can't train on this data"),
        (((batch for batch in ()),), "can't train on this data"),
        ((X, Y[:5]), "can't train on this data"),
    ],
)
def test_data(data: tuple[Any, ...], message: str) -> None:
    model = make()
    before = everything(model)
    with pytest.raises(FinderError, match=message):
        find_lr(model, *data, progress=False)
    assert everything(model) == before


def test_no_model() -> None:
    with pytest.raises(FinderError, match="takes a Keras model"):
        find_lr("model", X, Y)


def test_a_model_that_is_not_compiled() -> None:
    with pytest.raises(FinderError, match=r"call model\.compile"):
        find_lr(make_network(), X, Y)


def test_a_model_without_weights_that_train() -> None:
    model = make_network()
    model.trainable = False
    model.compile("sgd", loss=loss())
    before = everything(model)
    with pytest.raises(FinderError, match="no weights that train"):
        find_lr(model, X, Y, progress=False)
    assert everything(model) == before


def test_a_loss_that_is_no_number() -> None:
    model = make(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None))
    before = everything(model)
    with pytest.raises(FinderError, match=r"has the shape \(32,\).*reduction"):
        find_lr(model, X, Y, progress=False)
    assert everything(model) == before


def test_a_train_step_without_a_loss() -> None:
    class Silent(keras.Model):
        """A model that tells nothing of its training."""

        def train_step(self, *arguments: Any) -> Any:
            result = super().train_step(*arguments)
            return ({}, result[1]) if isinstance(result, tuple) else {}

    plain = make_network()
    model = Silent(plain.inputs, plain.outputs)
    model.compile("sgd", loss=loss())
    before = everything(model)
    with pytest.raises(FinderError, match="returns no 'loss'"):
        find_lr(model, X, Y, progress=False)
    assert everything(model) == before


def test_an_optimizer_without_one_base_rate() -> None:
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    optimizers[".*low.*"] = keras.optimizers.SGD(0.2)
    model = make(optimizer=keras.optimizers.MultiOptimizer(optimizers))
    with pytest.raises(FinderError, match="LRMultiplier"):
        find_lr(model, X, Y, progress=False)
