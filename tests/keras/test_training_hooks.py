"""The private parts of Keras and TensorFlow that a search leans on are there."""

import random
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.random import seed_generator

from layerwise.keras._finder.restore import AttributeSnapshot
from layerwise.keras._internals.random_states import RandomStates, global_seed_generator
from layerwise.keras._internals.tensorflow import (
    remade_dataset,
    tensorflow_generator,
    tensorflow_op_seeds,
)
from layerwise.keras._internals.train_function import ready_to_train
from layerwise.keras._internals.trainer import (
    build_as_fit_would,
    parts_built_by_fit,
    state_variables,
)
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


@pytest.mark.parametrize("separate", [False, True])
def test_a_train_function_runs_before_any_fit(separate: bool) -> None:
    """On JAX in Keras 3.10 it reads what ``fit`` notes of the model's variables before it runs."""
    x, y = make_data(8)
    model, other = compiled(), compiled()
    other.set_weights(model.get_weights())
    build_as_fit_would(model, (x, y))
    arrays = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
    batches = [arrays] if keras.backend.backend() == "torch" else iter([arrays])
    with ready_to_train(model, separate):
        if keras.backend.backend() == "jax":
            state = [[keras.ops.copy(v.value) for v in part] for part in state_variables(model)]
            logs, _ = model.train_function(tuple(state), batches)
        else:
            logs = model.train_function(batches)
    expected = other.train_on_batch(x, y, return_dict=True)["loss"]
    np.testing.assert_allclose(float(logs["loss"]), expected, rtol=1e-6)


def test_keras_generator_of_seeds() -> None:
    keras.random.normal((2,))
    generator = global_seed_generator()
    # Keras 3.10 to 3.12 have no name for the key that it is kept under.
    assert generator is seed_generator.global_seed_generator()
    before = np.array(keras.ops.convert_to_numpy(generator.state.value))
    keras.random.normal((2,))
    assert (np.array(keras.ops.convert_to_numpy(generator.state.value)) != before).any()


def test_a_generator_of_seeds_that_was_not_there_is_gone_again() -> None:
    keras.utils.clear_session()
    states = RandomStates()
    first = np.array(keras.ops.convert_to_numpy(keras.random.normal((2,), seed=None)))
    assert global_seed_generator() is not None
    states.put_back()
    assert global_seed_generator() is None
    # Python's generator, from which Keras draws the first seed, is where it was, too.
    again = np.array(keras.ops.convert_to_numpy(keras.random.normal((2,), seed=None)))
    np.testing.assert_array_equal(first, again)


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
