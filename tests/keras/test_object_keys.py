"""Layers and variables themselves as keys of rules in Keras."""

import pickle
from typing import Any

import keras
import numpy as np
import pytest

from layerwise import AmbiguousRuleError, UnmatchedRuleError, layer_decay
from layerwise.errors import ConfigError, MultiplierError
from layerwise.keras import LRMultiplier, annotate, explain

Dense = keras.layers.Dense


def make_model(given: bool = True) -> keras.Model:
    layers = [Dense(3, name="body"), Dense(1, name="head")]
    return keras.Sequential([keras.Input((4,))] * given + layers, name="net")


def values(model: keras.Model, rules: Any = None, **options: Any) -> list[float]:
    return explain(model, rules, **options).multipliers(0).tolist()


def make_nested() -> tuple[keras.Model, keras.Model]:
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, Dense(3, name="x")(Dense(3, name="w")(inputs)), name="inner")
    return keras.Model(inputs, Dense(1, name="out")(inner(inputs))), inner


@pytest.mark.parametrize("match", ["prefix", "substring", "glob", "regex"])
def test_layers_and_variables(match: str) -> None:
    model = make_model()
    body, head = model.layers
    assert values(model, {body: 0.1, head: 2}, match=match) == [0.1, 0.1, 2, 2]
    assert values(model, [(head.kernel, 0.5)], match=match) == [1, 1, 0.5, 1]
    assert values(model, (body, 0.5), match=match) == [0.5, 0.5, 1, 1]


def test_beside_names_strategies_and_the_model() -> None:
    model = make_model()
    head = model.layers[1]
    assert values(model, {head: 2, "head/bias": 3}) == [1, 1, 2, 3]
    assert values(model, {model: 0.1, head: 2}) == [0.1, 0.1, 2, 2]
    assert values(model, [{head: 2}, layer_decay(0.5)]) == [0.5, 0.5, 2, 2]
    assert values(model, [{head: 2}, (head.bias, 3)]) == [1, 1, 2, 3]


def test_levels() -> None:
    model = make_model()
    body, head = model.layers
    assert values(model, layer_decay(0.5), layers=[head, body]) == [1, 1, 0.5, 0.5]
    levels = [[body, head.bias], head.kernel]
    assert values(model, layer_decay(0.5), layers=levels) == [0.5, 0.5, 1, 0.5]


def test_decay() -> None:
    model = make_model()
    plan = explain(model, decay_rules={model.layers[0]: 0.5}, optimizer="adamw")
    assert [row.decay for row in plan.rows] == [0.5, 0.5, 1, 1]


def test_a_nested_model_has_no_name_in_paths() -> None:
    model, inner = make_nested()
    assert values(model, {inner: 0.1}) == [0.1, 0.1, 0.1, 0.1, 1, 1]
    assert values(model, {inner: 0.1, inner.get_layer("x"): 0.5})[2:4] == [0.5, 0.5]
    assert values(model, {inner: 0.1, "w": 3})[:2] == [3, 3]
    assert values(model, {inner: 0.1, model: 2}) == [0.1, 0.1, 0.1, 0.1, 2, 2]


@pytest.mark.parametrize("text", ["body", "body/", "net/body", "net/body/"])
def test_the_same_name_as_text_is_a_conflict(text: str) -> None:
    model = make_model()
    with pytest.raises(AmbiguousRuleError, match="net/body"):
        values(model, {model.layers[0]: 0.1, text: 0.5})


def test_an_annotation_is_a_conflict() -> None:
    model = make_model()
    annotate(model.layers[0], 0.5)
    with pytest.raises(AmbiguousRuleError, match="annotation"):
        values(model, {model.layers[0]: 0.1})


def test_a_shared_layer() -> None:
    inputs = keras.Input((4,))
    shared = Dense(4, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    assert values(model, {shared: 0.1}) == [0.1, 0.1]


def test_two_parts_with_one_name() -> None:
    inputs = keras.Input((4,))
    towers = [
        keras.Model(inputs, Dense(2, name="x")(inputs), name=name) for name in ("left", "right")
    ]
    model = keras.Model(inputs, keras.layers.add([tower(inputs) for tower in towers]))
    with pytest.raises(AmbiguousRuleError, match=r"are both called 'x/kernel'.*annotate"):
        values(model, {towers[1]: 0.1})


def test_what_is_not_in_the_model() -> None:
    other = Dense(2, name="other")
    for model in (make_model(), make_nested()[0]):
        with pytest.raises(UnmatchedRuleError, match="'<Dense other>': it is not a part of"):
            values(model, {other: 0.1})
        assert set(values(model, {other: 0.1}, strict=False)) == {1.0}


def test_bad_keys_and_values_are_refused_at_once() -> None:
    with pytest.raises(MultiplierError, match="The key 3 of a rule must be a string"):
        LRMultiplier("sgd", {3: 0.1})  # type: ignore[dict-item]
    with pytest.raises(MultiplierError, match="The rule '<Dense d>' has the multiplier -1"):
        LRMultiplier("sgd", {Dense(2, name="d"): -1})
    layer = Dense(2, name="d")
    with pytest.raises(AmbiguousRuleError, match="given twice"):
        LRMultiplier("sgd", [{layer: 1}, {layer: 2}])


def test_two_layers_of_one_name_before_they_are_built() -> None:
    LRMultiplier("sgd", {Dense(2, name="d"): 1, Dense(2, name="d"): 2})


def fit(model: keras.Model) -> list[Any]:
    x = np.ones((8, 4), "float32")
    model.fit(x, x[:, :1], verbose=0)
    return [keras.ops.convert_to_numpy(v).tolist() for v in model.weights]


def test_before_the_model_is_built_then_saved(tmp_path: Any) -> None:
    model = make_model(given=False)
    optimizer = LRMultiplier("sgd", [{model.layers[0]: 0}, {model.layers[1]: 0.5}])
    for unknown in (optimizer.get_config, lambda: pickle.dumps(optimizer)):
        with pytest.raises(ConfigError, match=r"Call optimizer\.build"):
            unknown()
    model.compile(optimizer, "mse")
    fit(model)
    assert optimizer.plan().multipliers(0).tolist() == [0, 0, 0.5, 0.5]
    [body] = optimizer.get_config()["rules"]["rules"]["list"][0]["mapping"]
    assert body[0]["places"] == ["net/body"]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.plan().multipliers(0).tolist() == [0, 0, 0.5, 0.5]
    assert fit(loaded) == fit(model)


def test_rules_around_rules() -> None:
    model = make_model()
    body, head = model.layers
    inner = LRMultiplier("sgd", {body: 0.5})
    outer = LRMultiplier(inner, {body: 0.5, head: 3})
    outer.build(model.trainable_variables)
    assert outer.plan().multipliers(0).tolist() == [0.25, 0.25, 3, 3]
    assert outer.with_rules({head: 2}).plan_for(model.trainable_variables).rows[2].value == 2
