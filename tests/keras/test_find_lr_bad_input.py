"""What can't be searched with is refused with one clear error, and nothing has changed."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise.errors import FinderError
from layerwise.keras import find_lr
from tests._support.keras.everything import everything
from tests._support.keras.networks import loss, make_data, make_network
from tests._support.keras.versions import since

X, Y = make_data(32)


def make(**options: Any) -> Any:
    model = make_network()
    model.compile(**{"optimizer": "sgd", "loss": loss()} | options)
    return model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"accumulate": 3}, "which is 1.*gradient_accumulation_steps=3"),
        ({"accumulate": 0}, "accumulate"),
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


@since(3, 14)
def test_an_optimizer_without_one_base_rate() -> None:
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    optimizers[".*low.*"] = keras.optimizers.SGD(0.2)
    model = make(optimizer=keras.optimizers.MultiOptimizer(optimizers))
    with pytest.raises(FinderError, match="LRMultiplier"):
        find_lr(model, X, Y, progress=False)


def generated(batch: Any) -> Any:
    while True:
        yield batch


class Loaded(keras.utils.PyDataset):
    """The same batch each time."""

    def __init__(self, batch: Any) -> None:
        super().__init__()
        self.batch = batch

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.batch


WAY_OUT = r"A batch must be x, \(x, y\) or \(x, y, sample_weight\).*train_step\(\)"


@pytest.mark.parametrize("data", [generated, Loaded])
@pytest.mark.parametrize("fitted", [False, True], ids=["new", "after fit"])
@pytest.mark.parametrize(
    "batch",
    [
        (X, Y, np.ones(32, "float32"), Y),
        {"pixels": X, "label": Y},
        (X,),
        (X[:, :3], Y),
        (X, np.ones((32, 5, 3), "float32")),
    ],
    ids=["extra", "dictionary", "no targets", "inputs", "targets"],
)
def test_batches_that_the_model_can_not_take(batch: Any, fitted: bool, data: Any) -> None:
    model = make()
    if fitted:
        model.fit(X, Y, verbose=0)
    before = everything(model)
    with pytest.raises(FinderError, match=rf"(?s){WAY_OUT}"):
        find_lr(model, data(batch), progress=False)
    assert everything(model) == before


def test_the_error_shows_the_batch() -> None:
    with pytest.raises(
        FinderError, match=r"'network' can't train on a batch like .*float32\[32, 3"
    ):
        find_lr(make(), X[:, :3], Y, progress=False)


def test_a_model_without_a_loss() -> None:
    model = make(loss=None)
    if keras.backend.backend() == "jax":
        pytest.skip("on JAX Keras trains it, with a loss of 0")
    before = everything(model)
    with pytest.raises(FinderError, match=r"No loss to compute"):
        find_lr(model, X, Y, progress=False)
    assert everything(model) == before


def test_a_train_step_that_takes_more_than_fit_does() -> None:
    """Compiled without loss and metrics, such a model trains on any batch; so it is searched."""

    class Own(keras.Model):
        """Leaves out what is more than two."""

        def train_step(self, *arguments: Any) -> Any:
            *state, batch = arguments
            result = super().train_step(*state, batch[:2])
            return ({"loss": result[0]["loss"]}, result[1]) if state else result

        def compute_loss(self, x: Any, y: Any, y_pred: Any, *_: Any, **__: Any) -> Any:
            return loss()(y, y_pred)

    plain = make_network()
    model = Own(plain.inputs, plain.outputs)
    model.compile("adam")
    before = everything(model)
    found = find_lr(model, generated((X, Y, X, X)), steps=10, progress=False, high=0.1)
    assert found.updates >= 10
    assert everything(model) == before
