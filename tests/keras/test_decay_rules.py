"""Weight decay rules in Keras: equal to one optimizer for each rate and decay, bit for bit."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import cosine, linear
from layerwise.errors import MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.keras import LRMultiplier, explain
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import LAYERS, bits, make_gradients, make_variables
from tests._support.keras.versions import INSTALLED

DECAY = 0.2
RULES = {"low": 0.5, "high": 2.0}
DECAYS = {"low": 0.3, "high": 0, "high/bias": 1.7}


def train(optimizer: Any, variables: list[Any], places: list[int], steps: int = 4) -> None:
    for step in range(steps):
        gradients = make_gradients(step)
        optimizer.apply([gradients[place] for place in places], variables)


def decayed(name: str, decay: float) -> Any:
    both = {"weight_decay": decay}
    return make(
        name,
        **(
            both | {"adam_weight_decay": decay} if name == "muon" and INSTALLED >= (3, 12) else both
        ),
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_one_optimizer_for_each_rate_and_decay(name: str) -> None:
    mine, theirs = make_variables(), make_variables()
    optimizer = LRMultiplier(decayed(name, DECAY), RULES, decay_rules=DECAYS)
    train(optimizer, mine, list(range(6)))
    for place, variable in enumerate(theirs):
        layer = LAYERS[place // 2]
        multiplier = [DECAYS["low"], DECAYS["low"], 1.0, 1.0, 0.0, 1.7][place]
        one = decayed(name, DECAY * multiplier)
        rate = np.float32(OPTIMIZERS[name][1]) * np.float32(RULES.get(layer, 1.0))
        one.learning_rate = rate
        train(one, [variable], [place])
    assert bits(mine) == bits(theirs)
    assert optimizer.weight_decay == DECAY


def test_a_decay_that_moves() -> None:
    mine, theirs = make_variables(), make_variables()
    optimizer = LRMultiplier(make("adamw"), decay_rules={"low": linear(4, 8, 0)})
    train(optimizer, mine, list(range(6)))
    plain = make("adamw")
    plain.build(theirs[:2])
    for step in range(4):
        plain.weight_decay = 0.004 * (8 - 2 * step)
        plain.apply(make_gradients(step)[:2], theirs[:2])
    train(make("adamw"), theirs[2:], [2, 3, 4, 5])
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b), rtol=2e-6
        )
    assert bits(mine[2:]) == bits(theirs[2:])


def make_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(3, name="body"), keras.layers.Dense(1, name="head")]
    return keras.Sequential([keras.Input((4,)), *layers], name="net")


X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def fit(model: keras.Model) -> list[bytes]:
    model.fit(X, X[:, :1], batch_size=4, shuffle=False, verbose=0)
    return bits(model.weights)


def test_saved_loaded_and_trained_on(tmp_path: Any) -> None:
    model = make_model()
    decays = {"body": cosine(20), "head/bias": 0}
    model.compile(LRMultiplier(keras.optimizers.AdamW(0.1), decay_rules=decays), "mse")
    fit(model)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.optimizer.plan().weight_decays(4) == model.optimizer.plan().weight_decays(4)
    assert fit(loaded) == fit(model)


def test_the_variables_are_those_of_the_plain_optimizer() -> None:
    plain, mine = keras.optimizers.AdamW(0.1), LRMultiplier("adamw", decay_rules={"low": 0.5})
    for optimizer in (plain, mine):
        optimizer.build(make_variables())
    assert [v.path.split("/")[1:] for v in plain.variables] == [
        v.path.split("/")[1:] for v in mine.variables
    ]


def test_what_is_excluded_has_none() -> None:
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    mine = LRMultiplier(optimizer, decay_rules={"low": 0.5})
    variables = make_variables()
    before = bits(variables)
    nothing = [keras.ops.zeros(v.shape) for v in variables]
    mine.apply(nothing, variables)
    assert [a == b for a, b in zip(bits(variables), before, strict=True)] == [False, True] * 3
    assert mine.plan().weight_decays(0) == [0.25, None, 0.5, None, 0.5, None]


def test_nested_rules_multiply() -> None:
    inner = LRMultiplier(keras.optimizers.AdamW(0.1, weight_decay=0.5), decay_rules={"low": 0.5})
    outer = LRMultiplier(inner, decay_rules={"low/bias": 0.5})
    outer.build(make_variables())
    assert outer.plan().weight_decays(0) == [0.25, 0.125, 0.5, 0.5, 0.5, 0.5]
    assert LRMultiplier.from_config(outer.get_config()).get_config() == outer.get_config()


def test_explain_shows_it() -> None:
    plan = explain(make_model(), decay_rules={"head": 0}, optimizer="adamw")
    assert plan.weight_decays(0) == [0.004, 0.004, 0, 0]
    assert "decay" in str(plan)


def test_an_optimizer_without_weight_decay() -> None:
    with pytest.raises(OptimizerError, match="SGD has no weight decay for them to multiply"):
        LRMultiplier("sgd", decay_rules={"low": 0.5})
    LRMultiplier(keras.optimizers.SGD(weight_decay=0.0), decay_rules={"low": 0.5})


def test_bad_rules() -> None:
    with pytest.raises(MultiplierError, match="The decay rule 'low' has the multiplier -1"):
        LRMultiplier("adamw", decay_rules={"low": -1})
    optimizer = LRMultiplier("adamw", decay_rules={"lwo": 1})
    with pytest.raises(UnmatchedRuleError, match="A rule of decay_rules="):
        optimizer.build(make_variables())
    assert not optimizer.built


class DecayOfItsOwn(keras.optimizers.SGD):
    @property
    def weight_decay(self) -> float:
        return 0.1

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        """Only Keras sets it."""


def test_a_class_that_computes_its_decay() -> None:
    LRMultiplier(DecayOfItsOwn(0.1), {"low": 0.5}).build(make_variables())
    with pytest.raises(OptimizerError, match="DecayOfItsOwn defines weight_decay in its class"):
        LRMultiplier(DecayOfItsOwn(0.1), decay_rules={"low": 0.5})
