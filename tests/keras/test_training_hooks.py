"""The private parts of Keras and TensorFlow that a search leans on are there."""

import random
from typing import Any

import keras
import numpy as np
import pytest

from layerwise.keras._finder.restore import AttributeSnapshot
from layerwise.keras._internals.random_states import global_seed_generator
from layerwise.keras._internals.tensorflow import (
    remade_dataset,
    tensorflow_generator,
    tensorflow_op_seeds,
)
from layerwise.keras._internals.trainer import build_as_fit_would, parts_built_by_fit
from tests._support.keras.networks import loss, make_data, make_network


def compiled() -> Any:
    model = make_network()
    model.compile("adam", loss=loss(), metrics=["accuracy"])
    return model


def test_a_model_has_what_is_asked_of_it() -> None:
    model = compiled()
    names = ["_symbolic_build", "_compute_loss", "_compile_loss", "make_train_function"]
    names += {
        "jax": ["_purge_model_variables"],
        "tensorflow": ["distribute_strategy"],
        "torch": ["modules"],
    }[keras.backend.backend()]
    assert [name for name in names if not hasattr(model, name)] == []
    assert model.train_function is None


def test_the_parts_that_fit_builds_are_all_of_them() -> None:
    model = compiled()
    kept = AttributeSnapshot(parts_built_by_fit(model))
    variables = model.optimizer.variables
    x, y = make_data(8)
    model.fit(x, y, verbose=0)
    built = [model.optimizer, model._compile_metrics, model._compile_loss]
    assert all(part.built for part in built)
    assert len(model.optimizer.variables) > len(variables)
    kept.put_back()
    assert not any(part.built for part in built)
    assert [id(v) for v in model.optimizer.variables] == [id(v) for v in variables]


def test_an_unbuilt_optimizer_can_still_be_saved(tmp_path: Any) -> None:
    """TensorFlow's own checkpoints look at what its lists and dicts have been through."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("checkpoints of TensorFlow")
    import tensorflow as tf

    model = compiled()
    kept = AttributeSnapshot(parts_built_by_fit(model))
    x, y = make_data(8)
    model.fit(x, y, verbose=0)
    model.train_function = None
    kept.put_back()
    model.fit(x, y, verbose=0)
    assert tf.train.Checkpoint(model).save(str(tmp_path / "checkpoint"))


def test_the_shape_of_a_loss() -> None:
    x, y = make_data(8)
    model = compiled()
    assert build_as_fit_would(model, (x, y)) == ()
    each = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    model.compile("adam", loss=each)
    assert build_as_fit_would(model, (x, y)) == (8,)


def test_keras_generator_of_seeds() -> None:
    keras.random.normal((2,))
    generator = global_seed_generator()
    before = np.array(keras.ops.convert_to_numpy(generator.state.value))
    keras.random.normal((2,))
    assert (np.array(keras.ops.convert_to_numpy(generator.state.value)) != before).any()


def test_tensorflows_generators_of_seeds() -> None:
    tf = pytest.importorskip("tensorflow")
    tf.random.set_seed(0)
    seeds = tensorflow_op_seeds()
    assert isinstance(seeds, random.Random)
    before = seeds.getstate()
    tf.random.set_seed(1)
    first = tensorflow_op_seeds().getstate()
    tf.random.uniform(())
    assert tensorflow_op_seeds().getstate() != first
    tensorflow_op_seeds().setstate(before)
    tf.random.get_global_generator()
    assert tensorflow_generator() is not None


def test_a_dataset_that_moves_nothing_is_not_copied() -> None:
    tf = pytest.importorskip("tensorflow")
    plain = tf.data.Dataset.range(5).batch(2)
    assert remade_dataset(plain) is plain
    shuffled = tf.data.Dataset.range(50).shuffle(50, seed=1)
    copy = remade_dataset(shuffled)
    assert copy is not shuffled
    assert [int(i) for i in copy] == [int(i) for i in shuffled]
