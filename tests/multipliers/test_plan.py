import json

import numpy as np
import pytest

from layerwise.errors import MultiplierError
from layerwise.multipliers import (
    Parameter,
    Plan,
    PlanRow,
    layer_decay,
    multiply_plans,
    override,
    resolve,
)
from layerwise.schedules import cosine, piecewise_constant

STEP = piecewise_constant([10], [0.0, 1.0])


def halving(step):
    return 0.5**step


NET = [
    Parameter("a/kernel", (3, 4), weight_decay=0.01),
    Parameter("a/bias", (4,)),
    Parameter("b/kernel", (4, 2)),
    Parameter("c/kernel", (2,)),
    Parameter("d/mean", (2,), trainable=False),
]
RULES = {"a": 0.5, "b": STEP, "c": halving}


def test_multipliers_at_a_step():
    plan = resolve(NET, RULES)
    found = plan.multipliers(2)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.0, 0.25, 1.0])
    np.testing.assert_array_equal(plan.multipliers(10), [0.5, 0.5, 1.0, 0.5**10, 1.0])


@pytest.mark.parametrize("schedule", [None, cosine(20), 0.5, lambda step: 1 / (1 + step)])
def test_rates_are_base_times_schedule_times_multiplier(schedule):
    plan = resolve(NET, RULES, learning_rate=np.float32(0.125), schedule=schedule)
    for step in (0, 5, 10, 30):
        factor = schedule(step) if callable(schedule) else (schedule or 1.0)
        expected = 0.125 * factor * plan.multipliers(step)
        expected[4] = 0.0  # not trainable
        np.testing.assert_array_equal(plan.rates(step), expected)


def test_rates_need_a_learning_rate():
    with pytest.raises(MultiplierError, match="no learning rate: make it with learning_rate="):
        resolve(NET).rates(0)


def test_groups_are_the_distinct_values_by_first_appearance():
    again = piecewise_constant([10], [0.0, 1.0])
    plan = resolve(NET, {**RULES, "d": 0.5, "a/bias": again})
    assert plan.groups == ((0.5, (0, 4)), (STEP, (1, 2)), (halving, (3,)))


def test_callables_are_one_group_by_identity():
    def same(step):
        return 0.5**step

    assert len(resolve(NET[:2], {"a/k": halving, "a/b": same}).groups) == 2
    assert len(resolve(NET[:2], {"a/k": halving, "a/b": halving}).groups) == 1


def test_each_distinct_callable_is_called_once_for_a_step():
    calls = []

    def counted(step):
        calls.append(step)
        return 1.0

    resolve(NET, {"a": counted}).multipliers(3)
    assert calls == [3]


def test_frozen_is_0_or_not_trainable_but_not_what_changes():
    plan = resolve(NET, {"a": 0, "b": STEP})
    assert [row.frozen for row in plan.rows] == [True, True, False, False, True]


def test_a_callables_bad_result_is_named():
    with pytest.raises(MultiplierError, match="The multiplier of 'b' is -1 at step 7"):
        resolve(NET, {"b": lambda step: -1}).multipliers(7)
    with pytest.raises(MultiplierError, match="The schedule is -1 at step 7"):
        resolve(NET, learning_rate=1, schedule=lambda step: -1).rates(7)


def test_to_dict_is_columns_of_plain_data():
    plan = resolve(NET, RULES, learning_rate=0.1, steps=(2, 10))
    columns = plan.to_dict()
    assert json.loads(json.dumps(columns)) == columns
    assert columns == {
        "parameter": ["a/kernel", "a/bias", "b/kernel", "c/kernel", "d/mean"],
        "shape": [[3, 4], [4], [4, 2], [2], [2]],
        "rule": ["a", "a", "b", "c", None],
        "multiplier": [0.5, 0.5, repr(STEP), "halving", 1.0],
        "rate @ 0": plan.rates(0).tolist(),
        "rate @ 2": plan.rates(2).tolist(),
        "rate @ 10": plan.rates(10).tolist(),
        "weight decay": [0.01, None, None, None, None],
        "frozen": [False, False, False, False, True],
    }


def test_without_a_learning_rate_the_steps_show_multipliers():
    columns = resolve(NET, RULES, steps=[2]).to_dict()
    assert columns["multiplier @ 0"] == [0.5, 0.5, 0.0, 1.0, 1.0]
    assert columns["multiplier @ 2"] == [0.5, 0.5, 0.0, 0.25, 1.0]
    assert not any(title.startswith("rate") for title in columns)
    assert "multiplier @ 0" not in resolve(NET, RULES).to_dict()


def test_the_step_that_is_now_is_shown_first():
    columns = resolve(NET, RULES, learning_rate=0.1, step=4, steps=(8,)).to_dict()
    assert [title for title in columns if title.startswith("rate")] == ["rate @ 4", "rate @ 8"]


def test_repr_is_short():
    assert repr(resolve(NET, RULES, learning_rate=1e-3)) == (
        "<Plan: 5 parameters, 4 multipliers, 1 frozen, learning_rate=0.001>"
    )
    assert repr(resolve(NET[:1])) == "<Plan: 1 parameter, 1 multiplier, 0 frozen>"


def test_a_plan_is_frozen_and_equal_by_value():
    assert resolve(NET, RULES) == resolve(NET, RULES)
    assert resolve(NET, RULES) != resolve(NET, {**RULES, "a": 0.25})
    with pytest.raises(AttributeError):
        resolve(NET).rows = ()


def test_a_plan_can_be_made_by_hand():
    plan = Plan((PlanRow(NET[0], None, 2.0),), learning_rate=0.5)
    assert plan.rates(0).tolist() == [1.0]


def test_plans_multiply():
    inner = resolve(NET, {"a": 0.5, "b": STEP}, learning_rate=0.1, schedule=cosine(20), steps=(9,))
    outer = resolve(NET, [layer_decay(0.5), {"b": 0, "c": override(halving)}], schedule=0.5)
    plan = multiply_plans(inner, outer)
    for step in (0, 4, 12):
        np.testing.assert_allclose(
            plan.multipliers(step), inner.multipliers(step) * outer.multipliers(step), rtol=1e-15
        )
        np.testing.assert_allclose(
            plan.rates(step), 0.5 * inner.rates(step) * outer.multipliers(step), rtol=1e-15
        )
    assert [row.rule for row in plan.rows] == [
        "a * layer_decay(0.5)",
        "a * layer_decay(0.5)",
        "b * b",
        "c",
        "layer_decay(0.5)",
    ]
    assert plan.rows[2].value == 0.0
    assert plan.steps == (9,)


def test_plans_without_schedules_multiply_to_one_without():
    assert multiply_plans(resolve(NET), resolve(NET)).schedule is None
    assert multiply_plans(resolve(NET), resolve(NET, schedule=STEP)).schedule == STEP


def test_plans_of_different_parameters_do_not_multiply():
    with pytest.raises(ValueError, match="zip"):
        multiply_plans(resolve(NET), resolve(NET[:2]))
