"""A saved model comes back with its rates, although Keras' loader renames inner weights.

The oracle is the model that was never saved: its names, its rates, and how it trains on.
"""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from layerwise import constant, gradual_unfreezing, layer_decay, linear
from layerwise.errors import AmbiguousRuleError, OptimizerError, UnmatchedRuleError
from layerwise.keras import LRMultiplier, annotate, explain, layers_of
from tests._support.keras.inner_layers import NETWORKS, fit_inner, make_inner, update
from tests._support.keras.variables import bits

Way = Callable[[Any, Path], Any]


def through_file(model: Any, folder: Path) -> Any:
    """The model after ``model.save`` and ``load_model`` in a process that has made no layer yet."""
    model.save(folder / "model.keras")
    keras.utils.clear_session()
    return keras.saving.load_model(folder / "model.keras")


def through_numbered_names(model: Any, folder: Path) -> Any:
    """The same in a process that has made such layers before, so that Keras' numbers go on."""
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def through_pickle(model: Any, folder: Path) -> Any:
    """The model after pickling."""
    return pickle.loads(pickle.dumps(model))


def through_copy(model: Any, folder: Path) -> Any:
    """A deep copy of the model."""
    return copy.deepcopy(model)


WAYS = [through_file, through_numbered_names, through_pickle, through_copy]


def trained(name: str, rules: Any, optimizer: Any = "adam", **options: Any) -> Any:
    return compiled(make_inner(name), LRMultiplier(optimizer, rules, **options))


def compiled(model: Any, optimizer: Any) -> Any:
    """The model with this optimizer, which has made two updates."""
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    for _ in range(2):
        update(model)
    return model


def everything(model: Any) -> list[bytes]:
    return bits(model.weights) + bits(model.optimizer.variables)


def check_goes_on_alike(model: Any, loaded: Any) -> None:
    """Equal names, rules, rates and weights now, and after more training."""
    for _ in range(2):
        assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()
        rows = [[row.rule for row in m.optimizer.plan().rows] for m in (model, loaded)]
        assert rows[0] == rows[1]
        assert everything(loaded) == everything(model)
        for each in (model, loaded):
            update(each)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_rule_for_a_layer_around_others(name: str, tmp_path: Path) -> None:
    model = trained(name, {NETWORKS[name][1]: 0.125})
    values = {row.value for row in model.optimizer.plan().rows}
    assert values == {0.125, 1.0}
    check_goes_on_alike(model, through_file(model, tmp_path))


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("name", ["time-distributed", "block", "subclassed"])
def test_other_ways_to_copy_a_model(name: str, way: Way, tmp_path: Path) -> None:
    model = trained(name, {NETWORKS[name][1]: linear(20, end=0.25)})
    check_goes_on_alike(model, way(model, tmp_path))


@pytest.mark.parametrize("name", ["bidirectional", "nested", "cells", "subclassed"])
@pytest.mark.parametrize("loaded_first", [False, True])
def test_a_clone_has_the_rates(name: str, loaded_first: bool, tmp_path: Path) -> None:
    model = trained(name, {NETWORKS[name][1]: 0.125})
    source = through_file(model, tmp_path) if loaded_first else model
    if name == "subclassed":  # which Keras clones without compiling
        clone = keras.models.clone_model(source)
        clone.compile_from_config(source.get_compile_config())
    else:
        clone = keras.models.clone_model(source)
    got, wanted = clone.optimizer.learning_rates(), model.optimizer.learning_rates()
    assert list(got.values()) == list(wanted.values())


RULES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "glob over the path": ("bidirectional", {"*/forward_*": 0.5, "*encoder*": 0.25}, {}),
    "glob in the middle": ("time-distributed", {"*/each/*/kernel": 0.5}, {}),
    "regex": ("cells", {r"cells/.*kernel$": 0.5}, {}),
    "regex from the start": ("twice nested", {r"^low": 0.5, r"^high": 0.25}, {}),
    "substring": ("bidirectional", {"encoder/backward": 0.5}, {}),
    "the model itself": ("subclassed", {"network": 0.5}, {}),
    "layer_decay": ("time-distributed", layer_decay(0.5), {}),
    "layer_decay of a subclassed model": ("subclassed", layer_decay(0.5), {}),
    "gradual_unfreezing": ("block", gradual_unfreezing(every=2), {}),
    "levels by name": (
        "twice nested",
        layer_decay(0.5),
        {"layers": ["low", "high", "head"]},
    ),
    "a rule and a strategy": ("bidirectional", [layer_decay(0.5), {"encoder": 0.25}], {}),
    "rules that match nothing": ("nested", {"body": 0.5, "nowhere": 0.25}, {"strict": False}),
}


@pytest.mark.parametrize("kind", RULES)
def test_every_kind_of_rule(kind: str, tmp_path: Path) -> None:
    name, rules, options = RULES[kind]
    match = kind.partition(" ")[0]
    if match in ("glob", "regex", "substring"):
        options = options | {"match": match}
    model = trained(name, rules, keras.optimizers.SGD(0.1, momentum=0.9), **options)
    assert len(set(model.optimizer.learning_rates().values())) > 1 or "model" in kind
    check_goes_on_alike(model, through_file(model, tmp_path))


def test_levels_of_the_model_survive(tmp_path: Path) -> None:
    model = make_inner("bidirectional")
    rules, levels = layer_decay(0.5), layers_of(model)
    compiled(model, LRMultiplier("adam", rules, layers=levels))
    loaded = through_file(model, tmp_path)
    check_goes_on_alike(model, loaded)
    assert layers_of(loaded) == levels


def test_rules_around_rules_and_loss_scaling(tmp_path: Path) -> None:
    inside = LRMultiplier(keras.optimizers.Adam(0.01), {"encoder": 0.5})
    model = trained("bidirectional", {"encoder/forward_simple_rnn": 0.5}, inside)
    check_goes_on_alike(model, through_file(model, tmp_path))

    optimizer = LRMultiplier(keras.optimizers.Adam(0.01), {"body": 0.5})
    scaled = make_inner("nested")
    scaled.compile(keras.optimizers.LossScaleOptimizer(optimizer), loss="mse")
    scaled.optimizer.build(scaled.trainable_variables)
    loaded = through_file(scaled, tmp_path)
    wanted = scaled.optimizer.inner_optimizer.learning_rates()
    assert loaded.optimizer.inner_optimizer.learning_rates() == wanted


@pytest.mark.parametrize("name", ["bidirectional", "time-distributed", "subclassed"])
def test_a_loaded_model_takes_new_rules_by_its_old_names(name: str, tmp_path: Path) -> None:
    model = trained(name, {NETWORKS[name][1]: 0.125})
    loaded = through_file(model, tmp_path)
    rules = {NETWORKS[name][1]: 0.5}
    wanted = explain(model, rules, learning_rate=0.1).to_dict()
    assert explain(loaded, rules, learning_rate=0.1).to_dict() == wanted
    goes_on = loaded.optimizer.with_rules(rules)
    compiled(loaded, goes_on)
    assert [row.value for row in goes_on.plan().rows] == wanted["multiplier"]
    compiled(loaded, LRMultiplier("sgd", rules))
    assert [row.value for row in loaded.optimizer.plan().rows] == wanted["multiplier"]
    check_goes_on_alike(loaded, through_file(loaded, tmp_path))


@pytest.mark.parametrize("name", ["bidirectional", "nested", "subclassed"])
def test_a_weights_file_and_a_new_compile(name: str, tmp_path: Path) -> None:
    rules = {NETWORKS[name][1]: constant(0.125)}
    model = trained(name, rules)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make_inner(name, seed=8)
    other.compile(LRMultiplier("adam", rules), loss="mse")
    other.optimizer.build(other.trainable_variables)
    other.load_weights(tmp_path / "model.weights.h5")
    check_goes_on_alike(model, other)


def test_weights_that_are_loaded_before_compiling(tmp_path: Path) -> None:
    model = trained("bidirectional", None)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make_inner("bidirectional", seed=8)
    other.compile(LRMultiplier("adam"), loss="mse")
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        other.load_weights(tmp_path / "model.weights.h5")
    compiled(other, LRMultiplier("adam", {"encoder": 0.5}))
    rates = other.optimizer.learning_rates()
    assert sum(rate == rates["sequential/head/bias"] / 2 for rate in rates.values()) == 6


def with_moving_rates(name: str, rule: str) -> Any:
    model = make_inner(name)
    model.compile(LRMultiplier("adam", {rule: linear(12, end=0.25)}), loss="mse")
    return model


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    model = with_moving_rates("nested", "body")
    whole = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    fit_inner(model, epochs=2, callbacks=[whole])
    loaded = keras.saving.load_model(tmp_path / "1.keras")
    fit_inner(loaded)
    check_goes_on_alike(model, loaded)


def test_training_goes_on_after_an_interruption(tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    model, interrupted, resumed = [with_moving_rates("nested", "body") for _ in range(3)]
    fit_inner(model, epochs=3)
    with pytest.raises(KeyboardInterrupt):
        fit_inner(interrupted, epochs=3, callbacks=[backup(), Stop()])
    fit_inner(resumed, epochs=3, callbacks=[backup()])
    check_goes_on_alike(model, resumed)


def test_saved_before_it_was_built_is_said(tmp_path: Path) -> None:
    model = make_inner("bidirectional")
    model.compile(LRMultiplier("sgd", {"encoder": 0.5}), loss="mse")
    with pytest.warns(UserWarning, match=r"optimizer\.build\(model\.trainable_variables\)"):
        model.save(tmp_path / "model.keras")
    with pytest.raises(UnmatchedRuleError, match="saved before its LRMultiplier"):
        keras.saving.load_model(tmp_path / "model.keras")
    model.optimizer.build(model.trainable_variables)
    loaded = through_file(model, tmp_path)
    assert loaded.optimizer.learning_rates() == model.optimizer.learning_rates()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_an_optimizer_alone_is_copied_before_it_is_built(copied: Any) -> None:
    optimizer = LRMultiplier("adam", {"body": 0.5})
    model = make_inner("nested")
    wanted = optimizer.plan_for(model.trainable_variables)
    assert copied(optimizer).plan_for(model.trainable_variables).to_dict() == wanted.to_dict()


def used_for(config: Any, model: Any) -> Any:
    optimizer = LRMultiplier.from_config(config)
    optimizer.build(model.trainable_variables)
    return optimizer


def test_a_config_for_another_model_is_an_error() -> None:
    config = trained("nested", {"body": 0.5}).optimizer.get_config()
    fewer = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="x")])
    with pytest.raises(OptimizerError, match=r"6 weights, and now there are 2.*compile=False"):
        used_for(config, fewer)
    inputs = keras.Input((6,))
    x = keras.layers.Dense(6, name="x")(inputs)
    wider = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(7)(x)))
    with pytest.raises(OptimizerError, match=r"'body/b/kernel' of shape \(6, 6\)"):
        used_for(config, wider)
    moved = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(6, name="b"),
            keras.layers.Dense(6, name="body"),
            keras.layers.Dense(3, name="other"),
        ],
        name="head",
    )
    config["weights"]["names"][2:4] = ["head/b/kernel", "head/b/bias"]
    with pytest.raises(OptimizerError, match="their order differs"):
        used_for(config, moved)
    assert [v.path for v in moved.trainable_variables[:2]] == ["head/b/kernel", "head/b/bias"]
    assert explain(moved, {"head": 0.5}).rows[0].parameter.name == "head/b/kernel"


def test_equal_names_in_another_order_keep_their_rates() -> None:
    def network(*names: str) -> Any:
        dense = [keras.layers.Dense(6, name=name) for name in names]
        return keras.Sequential([keras.Input((6,)), *dense], name="network")

    optimizer = LRMultiplier("sgd", {"a": 0.5, "b": 0.25})
    optimizer.build(network("a", "b", "c").trainable_variables)
    known = optimizer.learning_rates()
    for names in (("b", "c", "a"), ("b", "a"), ("d", "c", "b", "a")):
        got = used_for(optimizer.get_config(), network(*names)).learning_rates()
        assert {name: got[name] for name in known if name in got} == {
            name: rate for name, rate in known.items() if name in got
        }
        assert len(got) == 2 * len(names)


def without_names(name: str, folder: Path) -> Any:
    """A loaded model whose optimizer was left out, so that nothing knows its weights' names."""
    trained(name, None).save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", compile=False)


def test_new_rules_where_no_names_were_saved(tmp_path: Path) -> None:
    twice = without_names("time-distributed", tmp_path)
    with pytest.raises(AmbiguousRuleError, match="different levels are called 'dense/kernel'"):
        layers_of(twice)
    annotate(twice.get_layer("each"), 0.5)
    plan = explain(twice, optimizer="sgd")
    assert [row.value for row in plan.rows] == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]
    with pytest.raises(UnmatchedRuleError, match=r"(?s)'encoder'.*annotate"):
        explain(without_names("bidirectional", tmp_path), {"encoder": 0.5}, optimizer="sgd")


def test_layers_of_one_name_in_one_level_stay_allowed() -> None:
    inputs = keras.Input((6,))

    def tower(name: str) -> Any:
        pixels = keras.Input((6,))
        return keras.Model(pixels, keras.layers.Dense(4, name="same")(pixels), name=name)(inputs)

    outputs = keras.layers.Dense(3, name="head")(
        keras.layers.Concatenate()([tower("one"), tower("two")])
    )
    model = keras.Model(inputs, outputs)
    assert layers_of(model)[0] == ("same/kernel", "same/bias") * 2
