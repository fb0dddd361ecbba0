"""The methods of an optimizer that subclasses and loops of the user's call themselves."""

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import cosine, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.keras import LRMultiplier
from tests._support.keras.optimizers import make
from tests._support.keras.variables import arrays, bits, make_gradients, make_variables

BACKEND = keras.backend.backend()
RULES = {"low": 0, "middle": piecewise_constant([2], [0.0, 0.5]), "high": 0.25}


def ones(name: str = "v", **options: Any) -> Any:
    return keras.Variable(np.ones(3, "float32"), name=name, **options)


def built(rules: Any = None, optimizer: Any = None, **options: Any) -> tuple[Any, Any]:
    variable = ones()
    made = LRMultiplier(optimizer or keras.optimizers.SGD(0.1), rules or {"v": 0.5}, **options)
    made.build([variable])
    return made, variable


CALLS = {
    "update_step": lambda o, v: o.update_step(ops.ones((3,)), v, o.learning_rate),
    "_apply_weight_decay": lambda o, v: o._apply_weight_decay([v]),
    "_backend_update_step": lambda o, v: o._backend_update_step([ops.ones((3,))], [v], 0.1),
    "_update_model_variables_moving_average": lambda o, v: o._update_model_variables_moving_average(
        [v]
    ),
}


@pytest.mark.parametrize("rule", [0, 0.5, piecewise_constant([9], [0.0, 1.0])], ids=str)
@pytest.mark.parametrize("is_built", [True, False], ids=["built", "unbuilt"])
@pytest.mark.parametrize("method", CALLS)
def test_a_part_of_an_update_says_what_is_missing(method: str, is_built: bool, rule: Any) -> None:
    """Only apply() knows the rate of each variable; nothing has changed."""
    adam = keras.optimizers.AdamW(0.1, weight_decay=0.1, use_ema=True)
    optimizer, variable = LRMultiplier(adam, {"v": rule}), ones()
    if is_built:
        optimizer.build([variable])
    before = bits([variable, *optimizer.variables])
    with pytest.raises(OptimizerError, match=rf"^{method}\(\) .* by hand.*optimizer\.apply\("):
        CALLS[method](optimizer, variable)
    assert bits([variable, *optimizer.variables]) == before
    optimizer.apply([ops.ones((3,))], [variable])  # and this works afterwards
    assert int(optimizer.iterations) == 1


def test_a_subclass_that_updates_twice() -> None:
    """Its update_step calls that of the class above it, inside of apply()."""

    class Twice(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate)
            super().update_step(gradient, variable, learning_rate)

    optimizer, variable = built(optimizer=Twice(0.1))
    optimizer.apply([ops.ones((3,))], [variable])
    np.testing.assert_allclose(arrays([variable])[0], [0.9] * 3, rtol=1e-6)


def test_a_variable_that_it_does_not_know() -> None:
    optimizer, _ = built()
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([ops.ones((3,))], [ones("other")])


@pytest.mark.parametrize("rule", [1.0, 0], ids=str)
def test_too_few_gradients(rule: Any) -> None:
    optimizer = LRMultiplier("sgd", {"v": rule})
    variables = [ones(), ones("w")]
    optimizer.build(variables)
    with pytest.raises(OptimizerError, match=r"There are 1 gradients for 2 variables; pass one"):
        optimizer.apply([ops.ones((3,))], variables)
    assert bits(variables) == bits([ones(), ones("w")])


# -- apply_gradients and stateless_apply -----------------------------------------------------------


@pytest.mark.parametrize("rule", [1.0, lambda step: 1.0 + 0.0 * step], ids=["number", "moving"])
def test_the_same_variable_twice(rule: Any) -> None:
    """As a plain optimizer: built on it twice, and two updates in one."""
    ours, its = ones(), ones()
    plain = keras.optimizers.Adam(0.1)
    optimizer = LRMultiplier(keras.optimizers.Adam(0.1), {"v": rule})
    for used, variable in ((plain, its), (optimizer, ours)):
        used.apply_gradients([(ops.ones((3,)), variable), (ops.ones((3,)), variable)])
    assert bits([ours]) == bits([its])


def test_fewer_variables_than_it_was_built_on() -> None:
    optimizer = LRMultiplier(keras.optimizers.Adam(0.1, use_ema=True), {"low": 0.5, "middle": 0})
    variables, alone = make_variables(), make_variables()
    optimizer.build(variables)
    plain = keras.optimizers.Adam(0.05, use_ema=True)
    plain.build(alone)
    gradients = make_gradients(0)
    for used, its in ((optimizer, variables), (plain, alone)):
        used.apply_gradients([(gradients[1], its[1])])
    assert bits(variables) == bits(alone)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras has no stateless updates there")
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_stateless_updates_are_those_of_apply(kind: str) -> None:
    variables = make_variables()
    optimizer = LRMultiplier(make("adam", weight_decay=0.1), RULES)
    optimizer.build(variables)
    convert = ops.convert_to_numpy if kind == "arrays" else ops.convert_to_tensor
    weights = [convert(v) for v in arrays(variables)]
    state = [convert(v) for v in arrays(optimizer.variables)]
    before = bits([*variables, *optimizer.variables])
    for step in range(4):
        weights, state = optimizer.stateless_apply(state, make_gradients(step), weights)
    assert bits([*variables, *optimizer.variables]) == before
    for step in range(4):
        optimizer.apply(make_gradients(step))
    for ours, expected in zip([*weights, *state], [*variables, *optimizer.variables], strict=True):
        assert bits([ours]) == bits([expected])


# -- kinds of gradients and variables --------------------------------------------------------------


def sparse_gradient() -> Any:
    """Of five rows, the second and the fourth."""
    dense = np.zeros((5, 2), "float32")
    dense[[1, 3]] = [[1, 1], [2, 2]]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.IndexedSlices(tf.constant(dense[[1, 3]]), tf.constant([1, 3]), [5, 2])
    if BACKEND == "jax":
        from jax.experimental import sparse

        return sparse.BCOO.fromdense(dense)
    import torch

    return torch.tensor(dense).to_sparse(1)


@pytest.mark.parametrize("name", ["sgd", "sgd-momentum", "adam", "lion"])
@pytest.mark.parametrize("step", [0, 2])
def test_sparse_gradients(name: str, step: int) -> None:
    """As a plain optimizer, where they are not frozen."""
    tables = [keras.Variable(np.ones((5, 2), "float32"), name="table") for _ in range(2)]
    plain = make(name)
    multiplied = LRMultiplier(make(name), {"table": piecewise_constant([2], [0.0, 1.0])})
    for optimizer, table in zip((plain, multiplied), tables, strict=True):
        optimizer.build([table])
        optimizer.iterations.assign(step)
        optimizer.apply([sparse_gradient()], [table])
    its, ours = arrays(tables)
    np.testing.assert_allclose(ours, its if step else np.ones((5, 2)), rtol=1e-6)
    assert (its != 1).any(axis=1).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_variables_of_every_type(dtype: str) -> None:
    def make_one() -> Any:
        return keras.Variable(np.full(3, 0.5, "float32"), dtype=dtype, name="v")

    ours, its = make_one(), make_one()
    rule = piecewise_constant([2], [0.0, 0.5])
    optimizer = LRMultiplier(keras.optimizers.SGD(0.25, momentum=0.5), {"v": rule})
    plain = keras.optimizers.SGD(0.125, momentum=0.5)
    for used, variable in ((optimizer, ours), (plain, its)):
        used.build([variable])
        used.iterations.assign(2)
        used.apply([ops.cast(ops.ones((3,)), dtype)])
    wide = "complex64" if dtype == "complex64" else "float32"
    assert bits([ops.cast(ours, wide)]) == bits([ops.cast(its, wide)])
    assert bits([ops.cast(ours, wide)]) != bits([ops.cast(make_one(), wide)])


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has no whole numbers that train")
def test_a_whole_number_has_no_gradient() -> None:
    count, weight = keras.Variable(np.ones(3), dtype="int32", name="count"), ones()
    optimizer = LRMultiplier("adam", {"count": lambda step: 0.5 + 0.0 * step, "v": 0.5})
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        optimizer.apply([None, ops.ones((3,))], [count, weight])
    assert "Gradients do not exist for variables ['count']" in str(seen[0].message)
    assert arrays([count])[0].tolist() == [1, 1, 1]
    np.testing.assert_allclose(arrays([weight])[0], [0.9995] * 3, rtol=1e-6)


# -- rates that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["fast", [0.1, 0.2], {"rate": 0.1}], ids=str)
def test_a_rate_that_is_none(value: Any) -> None:
    optimizer, _ = built()
    with pytest.raises(OptimizerError, match=r"learning rate of 'sgd.*' must be a number, a sch"):
        optimizer.learning_rate = value
    assert float(ops.convert_to_numpy(optimizer.learning_rate)) == np.float32(0.1)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_finding_without_a_suggestion(scaled: bool) -> None:
    optimizer: Any = LRMultiplier("sgd")
    if scaled:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    with pytest.raises(OptimizerError, match=r"got None\. .*finding\.reason.*finding\.rate_or\("):
        optimizer.learning_rate = None


def test_an_optimizer_without_a_rate() -> None:
    """Adafactor's own rate is a bound of 0.001 in Keras; None is none of its rates."""
    with pytest.raises(OptimizerError, match=r"takes a Keras optimizer.*'learning_rate': None"):
        LRMultiplier({"class_name": "Adafactor", "config": {"learning_rate": None}})
    optimizer = LRMultiplier(keras.optimizers.Adafactor(), {"v": 0.5})
    variable = ones()
    optimizer.apply([ops.ones((3,))], [variable])
    assert optimizer.learning_rates()["v"] == pytest.approx(0.0005)


@pytest.mark.parametrize("step", [np.int64(2), np.int32(2), np.uint8(2)], ids=repr)
def test_a_step_that_is_a_numpy_integer(step: Any) -> None:
    from layerwise.keras import LearningRateSchedule, explain

    rate = LearningRateSchedule(cosine(4) * 0.5)
    assert float(ops.convert_to_numpy(rate(step))) == pytest.approx(0.25)
    optimizer, variable = built(schedule=cosine(4))
    assert optimizer.plan(steps=[step]).steps == (2,)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="head")])
    plan = explain(model, {"head": 0.5}, optimizer="sgd", step=step, steps=(step,))
    assert (plan.step, plan.steps) == (2, (2,))
    optimizer.iterations.assign(step)
    optimizer.apply([ops.ones((3,))], [variable])
    np.testing.assert_allclose(arrays([variable])[0], [0.975] * 3, rtol=1e-6)
