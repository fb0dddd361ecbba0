"""TensorFlow: rows of an embedding without gradient stay untouched under a moving multiplier."""

import keras
import numpy as np
import pytest

from layerwise import linear, piecewise_constant
from layerwise.keras import LRMultiplier

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow hands rows on"
)

# Keras' other optimizers move every row: their averages decay where there is no gradient.
BY_ROWS = {
    "sgd": lambda: keras.optimizers.SGD(0.5),
    "adagrad": lambda: keras.optimizers.Adagrad(0.5),
}
MOVING = {
    "freezes": piecewise_constant([1, 2], [0.5, 0.0, 0.25]),
    "a function": lambda step: 0.5 / (1.0 + step),
    "never freezes": linear(10, end=0.5),
}
WRITES_ALL = {"AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"}


def rows(step):
    values = np.full((2, 2), 1.0 + step, "float32")
    return tf.IndexedSlices(tf.constant(values), tf.constant([1, 3]), tf.constant([5, 2]))


def built(make, rule):
    table = keras.Variable(np.ones((5, 2), "float32"), name="table")
    optimizer = LRMultiplier(make(), {"table": rule})
    optimizer.build([table])
    return optimizer, table


def operations(graph):
    """Every operation of a graph, those in its functions included, with what it writes to."""
    yield from graph.get_operations()
    for name in graph._functions:
        yield from operations(graph._get_function(name).graph)


@pytest.mark.parametrize("rule", MOVING.values(), ids=MOVING)
@pytest.mark.parametrize("make", BY_ROWS.values(), ids=BY_ROWS)
def test_no_operation_writes_a_whole_table(make, rule):
    optimizer, table = built(make, rule)
    step = tf.function(lambda: optimizer.apply([rows(0)], [table]))
    found = list(operations(step.get_concrete_function().graph))
    whole = [op.name for op in found if op.type in WRITES_ALL and op.inputs[1].shape == (5, 2)]
    assert whole == []
    assert any(op.type.startswith("ResourceScatter") for op in found)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("rule", MOVING.values(), ids=MOVING)
@pytest.mark.parametrize("make", BY_ROWS.values(), ids=BY_ROWS)
def test_rows_without_a_gradient_stay_and_the_others_move_as_under_one_optimizer(
    make, rule, compiled
):
    optimizer, table = built(make, rule)
    plain, theirs = make(), keras.Variable(np.ones((5, 2), "float32"), name="table")
    plain.build([theirs])

    def apply(values):
        optimizer.apply([tf.IndexedSlices(values, rows(0).indices, rows(0).dense_shape)], [table])

    step = tf.function(apply) if compiled else apply
    for number in range(4):
        start = [np.array(v) for v in [table, *optimizer.variables[2:]]]
        step(rows(number).values)
        after = [np.array(v) for v in [table, *optimizer.variables[2:]]]
        for a, b in zip(start, after, strict=True):
            np.testing.assert_array_equal(a[[0, 2, 4]], b[[0, 2, 4]])
        factor = float(rule(number))
        if not factor:
            for a, b in zip(start, after, strict=True):
                np.testing.assert_array_equal(a, b)
            continue
        plain.learning_rate = 0.5 * factor
        plain.apply([rows(number)], [theirs])
        np.testing.assert_allclose(np.array(table), np.array(theirs), rtol=1e-6)
    assert optimizer.iterations == 4


def test_what_else_changes_a_table_restores_it_whole():
    """Weight decay and constraints reach every row, so a frozen step puts all of them back."""
    table = keras.Variable(np.full((5, 2), 2.0, "float32"), name="table")
    optimizer = LRMultiplier(
        keras.optimizers.SGD(0.5, weight_decay=0.1), {"table": MOVING["freezes"]}
    )
    optimizer.build([table])
    optimizer.iterations.assign(1)
    optimizer.apply([rows(0)], [table])
    np.testing.assert_array_equal(np.array(table), np.full((5, 2), 2.0))
