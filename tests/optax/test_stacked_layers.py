"""Layers that are stacked in one leaf: each is a level, as if it stood in a leaf of its own."""

import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from layerwise import discriminative, gradual_unfreezing, layer_decay
from layerwise.errors import MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.multipliers import (
    Parameter,
    Strategy,
    resolve,
    rules_from_config,
    rules_to_config,
)
from layerwise.optax import (
    carry_state,
    explain,
    layers_of,
    learning_rates,
    scale_by_multipliers,
    with_multipliers,
)
from tests._support.optax.kinds import LAYERS, by_hand, scanned
from tests._support.optax.trees import bits

STACKED = {"layers": 0}
STRATEGIES: dict[str, Any] = {
    "layer_decay": lambda **kw: layer_decay(0.5, **kw),
    "discriminative": lambda **kw: discriminative(0.25, 2.0, **kw),
    "groups": lambda **kw: discriminative(0.25, groups=3, **kw),
    "gradual_unfreezing": lambda **kw: gradual_unfreezing(2, **kw),
    "two": lambda **kw: [layer_decay(0.5, **kw), gradual_unfreezing(1, **kw)],
}


class HeadAndLast(Strategy):
    """A strategy of somebody's own: two levels train."""

    stacked = STACKED

    def multipliers(self, count: int) -> list[float]:
        return [0.0] * (count - 2) + [0.5, 1.0]


def gradients_of(params: Any, step: int) -> Any:
    key = jax.random.key(step)
    return jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), params)


def unstacked(tree: Any, axis: int = 0) -> Any:
    layers = {
        str(i): {name: jnp.take(leaf, i, min(axis, leaf.ndim - 1)) for name, leaf in own.items()}
        for own in [tree["layers"]]
        for i in range(LAYERS)
    }
    return tree | {"layers": layers}


@pytest.mark.parametrize("make", [optax.sgd, optax.adamw, optax.nadam])
@pytest.mark.parametrize("name", STRATEGIES)
def test_training_equals_that_of_layers_one_by_one(name: str, make: Any) -> None:
    """The moments are elementwise, so that each layer must be the same to the last bit."""
    mine, theirs = scanned(), by_hand()
    one = with_multipliers(make(0.1), STRATEGIES[name](stacked=STACKED))
    other = with_multipliers(make(0.1), STRATEGIES[name]())
    state, plain = one.init(mine), other.init(theirs)
    for step in range(6):
        gradients = gradients_of(mine, step)
        updates, state = one.update(gradients, state, mine)
        mine = optax.apply_updates(mine, updates)
        updates, plain = other.update(unstacked(gradients), plain, theirs)
        theirs = optax.apply_updates(theirs, updates)
        assert bits(unstacked(mine)) == bits(theirs)
    rates = learning_rates(state, mine, learning_rate=0.1)
    assert rates == learning_rates(plain, theirs, learning_rate=0.1)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_plan_is_that_of_layers_one_by_one(name: str) -> None:
    plan = explain(scanned(), STRATEGIES[name](stacked=STACKED), learning_rate=0.1, steps=(3,))
    other = explain(by_hand(), STRATEGIES[name](), learning_rate=0.1, steps=(3,))
    mine, theirs = plan.to_dict(), other.to_dict()
    order = [mine["parameter"].index(name) for name in theirs["parameter"]]
    for column in ("parameter", "shape", "multiplier", "rate @ 0", "rate @ 3"):
        assert [mine[column][i] for i in order] == theirs[column]
    assert plan.notes == ()


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("way", [with_multipliers, None])
def test_along_any_axis(axis: int, way: Any) -> None:
    params = {"layers": {"kernel": jnp.ones([LAYERS if i == axis % 3 else 4 for i in range(3)])}}
    params |= {"head": {"kernel": jnp.ones((4, 2))}}
    rules = layer_decay(0.5, stacked={"layers": axis})
    plain = optax.sgd(1.0)
    optimizer = way(plain, rules) if way else optax.chain(plain, scale_by_multipliers(rules))
    updates, _ = jax.jit(optimizer.update)(params, optimizer.init(params), params)
    found = -np.moveaxis(np.asarray(updates["layers"]["kernel"]), axis, 0)
    expected = 0.5 ** np.arange(LAYERS, 0, -1)
    np.testing.assert_array_equal(found, np.broadcast_to(expected[:, None, None], found.shape))


@pytest.mark.parametrize("key", ["layers", "layers/", "params/layers", "params/layers/kernel"])
def test_names_of_a_stack(key: str) -> None:
    params = {
        "params": {"layers": {"kernel": jnp.ones((3, 4, 4))}, "head": {"kernel": jnp.ones(2)}}
    }
    values = explain(params, layer_decay(0.5, stacked={key: 0})).multipliers(0)
    assert values.tolist() == [1.0, 0.125, 0.25, 0.5]


def test_a_leaf_may_be_the_stack() -> None:
    params = {"layers": jnp.ones((3, 4, 4)), "head": jnp.ones(2)}
    plan = explain(params, layer_decay(0.5, stacked=STACKED))
    assert plan.to_dict()["parameter"] == ["head", "layers/0", "layers/1", "layers/2"]
    assert plan.multipliers(0).tolist() == [1.0, 0.125, 0.25, 0.5]


@pytest.mark.parametrize("norm", ["norm", "final_layernorm", "ln_f"])
def test_a_norm_after_the_stack_goes_with_the_last_layer(norm: str) -> None:
    params = scanned() | {norm: {"scale": jnp.ones(4), "bias": jnp.ones(4)}}
    one_by_one = [f"layers/{i}" for i in range(LAYERS - 1)]
    proposed = ["embed", *one_by_one, [f"layers/{LAYERS - 1}", norm], "head"]
    for layers in (["embed", ["layers", norm], "head"], proposed):
        plan = explain(params, layer_decay(0.5, stacked=STACKED), layers=layers).to_dict()
        values = dict(zip(plan["parameter"], plan["multiplier"], strict=True))
        assert values[f"{norm}/scale"] == values[f"layers/{LAYERS - 1}/kernel"] == 0.5
        assert values["layers/0/kernel"] == 0.5**LAYERS
        assert values["embed/kernel"] == 0.5 ** (LAYERS + 1)


def test_levels_that_a_caller_wrote_hold_one_for_each_layer() -> None:
    params = scanned()
    params["stem"] = params.pop("embed")
    rules = layer_decay(0.5, stacked=STACKED)
    plan = explain(params, rules, layers=["stem", "layers", "head"])
    values = dict(zip(plan.to_dict()["parameter"], plan.multipliers(0), strict=True))
    assert values["stem/kernel"] == 0.5 ** (LAYERS + 1)
    assert values["layers/0/bias"] == values["layers/0/kernel"] == 0.5**LAYERS
    assert values["layers/5/kernel"] == 0.5
    with pytest.raises(MultiplierError, match="'stem/kernel' is in one level with layers"):
        explain(params, rules, layers=[["stem", "layers"], "head"])
    levels = layers_of(scanned(), stacked=STACKED)
    assert levels[3] == ("layers/2/bias", "layers/2/kernel")
    assert explain(scanned(), rules, layers=levels).rows == explain(scanned(), rules).rows


def test_a_rule_wins_for_one_layer_or_for_all() -> None:
    rules = [layer_decay(0.5, stacked=STACKED), {"layers/2/": 0.125, "embed": 0}]
    params = scanned()
    optimizer = with_multipliers(optax.adam(0.1), rules)
    state = optimizer.init(params)
    updates, state = optimizer.update(gradients_of(params, 0), state, params)
    plan = explain(params, rules).to_dict()
    values = dict(zip(plan["parameter"], plan["multiplier"], strict=True))
    assert values["layers/2/bias"] == 0.125
    assert values["layers/1/bias"] == 0.5**5
    assert not updates["embed"]["kernel"].any()
    every = explain(params, [layer_decay(0.5, stacked=STACKED), {"layers/kernel": 0.25}]).to_dict()
    by_name = dict(zip(every["parameter"], every["multiplier"], strict=True))
    assert {v for k, v in by_name.items() if k.startswith("layers") and "kernel" in k} == {0.25}


@pytest.mark.parametrize("rules", [gradual_unfreezing(1, stacked=STACKED), HeadAndLast()])
def test_frozen_layers_of_a_stack_keep_every_bit(rules: Any) -> None:
    """With NaN in their gradients, and -0.0 among the weights; the state too."""
    params = scanned()
    params["layers"]["kernel"] = params["layers"]["kernel"].at[:, 0, 0].set(-0.0)
    optimizer = with_multipliers(optax.adamw(0.1, weight_decay=0.5), rules)
    first = state = optimizer.init(params)
    gradients = gradients_of(params, 0)
    frozen = slice(0, LAYERS - 1)
    gradients["layers"] = jax.tree.map(
        lambda leaf: leaf.at[frozen].set(jnp.nan), gradients["layers"]
    )
    after = params
    for _ in range(1 if isinstance(rules, gradual_unfreezing) else 3):
        updates, state = jax.jit(optimizer.update)(gradients, state, after)
        after = optax.apply_updates(after, updates)
    cut = lambda tree: jax.tree.map(lambda leaf: leaf[frozen], tree)  # noqa: E731
    for name in ("kernel", "bias"):
        assert bits(cut(after["layers"][name])) == bits(cut(params["layers"][name]))
        for moment in ("mu", "nu"):
            old, new = (getattr(s.inner_state[0], moment)["layers"][name] for s in (first, state))
            assert bits(cut(new)) == bits(cut(old))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after, state)))
    assert bits(after["head"]) != bits(params["head"])


def test_a_state_of_which_no_part_can_be_kept() -> None:
    rules = gradual_unfreezing(2, stacked=STACKED)
    optimizer = with_multipliers(optax.adafactor(0.1, min_dim_size_to_factor=2), rules)
    with pytest.raises(OptimizerError, match=r"'layers/.*of which no part can be kept"):
        optimizer.init(scanned())
    with_multipliers(optax.adafactor(0.1), layer_decay(0.5, stacked=STACKED)).init(scanned())


def test_a_state_from_before_the_layers_were_counted() -> None:
    params = scanned()
    plain = with_multipliers(optax.adam(0.1), layer_decay(0.5))
    _, state = plain.update(params, plain.init(params), params)
    optimizer = with_multipliers(optax.adam(0.1), layer_decay(0.5, stacked=STACKED))
    with pytest.raises(OptimizerError, match=r"stacked in one leaf.*carry_state"):
        optimizer.update(params, state, params)
    carried = carry_state(optimizer, params, state)
    assert bits(carried.inner_state) == bits(state.inner_state)
    optimizer.update(params, carried, params)


@pytest.mark.parametrize("name", ["layer_decay", "discriminative", "gradual_unfreezing"])
def test_a_strategy_with_stacks_is_a_value_and_can_be_saved(name: str) -> None:
    strategy = STRATEGIES[name](stacked={"layers": -1})
    assert strategy == STRATEGIES[name](stacked={"layers": -1}) != STRATEGIES[name]()
    assert len({strategy, STRATEGIES[name](stacked={"layers": -1})}) == 1
    assert rules_from_config(json.loads(json.dumps(rules_to_config(strategy)))) == strategy
    assert "stacked={'layers': -1}" in repr(strategy)
    assert "stacked" not in str(rules_to_config(STRATEGIES[name]()))


# --- what can't be honoured ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stacked", "error", "message"),
    [
        ({"layer": 0}, UnmatchedRuleError, r"\{'layer': 0\} matches no parameter.*'layers'"),
        ({"layers": 2}, MultiplierError, r"'layers/bias' has the shape \(6, 4\).*no axis 2"),
    ],
)
def test_a_stack_that_is_not_there(stacked: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        explain(scanned(), layer_decay(0.5, stacked=stacked))


def test_stacks_of_different_length_under_one_name() -> None:
    params = {"layers": {"a": jnp.ones((3, 4)), "b": jnp.ones((5, 4))}, "head": jnp.ones(2)}
    with pytest.raises(MultiplierError, match=r"'layers/a' has 3 layers .* 'layers/b' has 5"):
        explain(params, layer_decay(0.5, stacked=STACKED))


@pytest.mark.parametrize("stacked", ["layers", {}, {"layers": 0.5}, {1: 0}, {"layers": True}, 0])
@pytest.mark.parametrize("make", [layer_decay, discriminative, gradual_unfreezing])
def test_bad_arguments_are_named_at_once(make: Any, stacked: Any) -> None:
    with pytest.raises(MultiplierError, match="stacked"):
        make(1, stacked=stacked)


def test_where_nothing_is_stacked_it_is_an_error_of_every_framework() -> None:
    names = [Parameter("layers/kernel", (3, 4)), Parameter("head/kernel", (4, 2))]
    with pytest.raises(MultiplierError, match=r"stacked=\{'layers': 0\}.*Optax alone"):
        resolve(names, layer_decay(0.5, stacked=STACKED))
    contrary = [layer_decay(0.5, stacked=STACKED), discriminative(0.5, stacked={"layers": 1})]
    with pytest.raises(MultiplierError, match=r"'layers'.*axes 0 and 1"):
        explain(scanned(), contrary)


# --- what only looks like a stack ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "name"),
    [
        (scanned(), "layers"),
        (
            {"params": {"ScanBlock_0": {"w": jnp.ones((3, 4, 4))}, "head": {"w": jnp.ones(2)}}},
            "Scan",
        ),
        ({"embed": {"w": jnp.ones((5, 4))}, "h": {"w": jnp.ones((3, 4, 4))}}, "h"),
        (
            {"enc": {"kernel": jnp.ones((3, 4, 4)), "bias": jnp.ones((3, 4))}, "head": jnp.ones(2)},
            "enc",
        ),
    ],
)
def test_the_plan_shows_it(params: Any, name: str) -> None:
    layers = sorted(params.get("params", params), key=lambda key: key.startswith("head"))
    plan = explain(params, layer_decay(0.5), layers=layers)
    (note,) = plan.notes
    assert note.split(" looks like ")[0].removeprefix("params/").startswith(name)
    assert "stacked={" in note
    assert "looks like" in " ".join(str(plan).split())


@pytest.mark.parametrize(
    "params",
    [
        by_hand(),
        {"layers": [{"w": jnp.ones((3, 3, 4, 4))} for _ in range(3)], "head": jnp.ones(2)},
        {"body": {"kernel": jnp.ones((4, 4)), "bias": jnp.ones(4)}, "head": jnp.ones((4, 4))},
        {"body": {"kernel": jnp.ones((3, 3, 8, 8)), "bias": jnp.ones(8)}, "head": jnp.ones(2)},
    ],
)
def test_what_does_not_look_like_a_stack_gets_no_note(params: Any) -> None:
    assert explain(params, layer_decay(0.5)).notes == ()


def test_without_a_strategy_nobody_counts_layers() -> None:
    assert explain(scanned(), {"layers": 0.5}).notes == ()


# --- Flax' metadata ------------------------------------------------------------------------------


class Block(nn.Module):
    """One layer, whose kernel alone has metadata."""

    boxed: Any

    @nn.compact
    def __call__(self, x: Any, _: Any = None) -> Any:
        kernel = self.boxed(nn.initializers.lecun_normal(), ("in", "out"))
        return nn.Dense(4, kernel_init=kernel)(x), None


class Scanned(nn.Module):
    """Three layers by nn.scan, and a head."""

    boxed: Any = nn.with_partitioning
    axis: int = 0

    @nn.compact
    def __call__(self, x: Any) -> Any:
        scan = nn.scan(
            Block,
            variable_axes={"params": self.axis},
            split_rngs={"params": True},
            length=3,
            metadata_params={nn.PARTITION_NAME: "layers"},
        )
        x, _ = scan(self.boxed, name="blocks")(x, None)
        return nn.Dense(1, name="head")(x)


@pytest.mark.parametrize("boxed", [nn.with_partitioning, nn.with_logical_partitioning])
@pytest.mark.parametrize("axis", [0, 1])
def test_scan_over_layers_in_linen(boxed: Any, axis: int) -> None:
    params = Scanned(boxed, axis).init(jax.random.key(0), jnp.ones((2, 4)))
    plan = explain(params, layer_decay(0.5))
    values = dict(zip(plan.to_dict()["parameter"], plan.multipliers(0), strict=True))
    for leaf in ("kernel", "bias"):
        found = [values[f"params/blocks/{i}/Dense_0/{leaf}"] for i in range(3)]
        assert found == [0.125, 0.25, 0.5]
        assert values[f"params/head/{leaf}"] == 1.0
    optimizer = with_multipliers(optax.sgd(1.0), layer_decay(0.5))
    ones = jax.tree.map(jnp.ones_like, params)
    updates, state = optimizer.update(ones, optimizer.init(params), params)
    kernel = nn.unbox(updates)["params"]["blocks"]["Dense_0"]["kernel"]
    np.testing.assert_array_equal(jnp.take(kernel, 0, axis), -0.125)
    assert learning_rates(state, params, learning_rate=1.0) == values
    bare = explain(nn.unbox(params), layer_decay(0.5))
    assert len(bare.rows) == 4
    if axis == 0:
        assert "looks like 3 layers" in bare.notes[0]


class Vmapped(nnx.Module):
    """Three layers by nnx.vmap, and a head."""

    def __init__(self, axis: int, name: str) -> None:
        kernel = nnx.with_partitioning(
            nnx.initializers.lecun_normal(), (None, "out"), eager_sharding=False
        )
        make = nnx.vmap(
            lambda key: nnx.Linear(4, 4, rngs=nnx.Rngs(key), kernel_init=kernel),
            out_axes=nnx.StateAxes({nnx.Param: axis}),
            transform_metadata={nnx.PARTITION_NAME: name},
        )
        self.blocks = make(jax.random.split(jax.random.key(0), 3))
        self.head = nnx.Linear(4, 1, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("axis", "name"), [(0, "layers"), (1, "layers"), (0, "blocks")])
def test_vmap_over_layers_in_nnx(axis: int, name: str) -> None:
    params = nnx.state(Vmapped(axis, name), nnx.Param)
    plan = explain(params, layer_decay(0.5))
    values = dict(zip(plan.to_dict()["parameter"], plan.multipliers(0), strict=True))
    assert [values[f"blocks/{i}/kernel"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert [values[f"blocks/{i}/bias"] for i in range(3)] == [0.125, 0.25, 0.5]
    assert layers_of(params)[0] == ("blocks/0/bias", "blocks/0/kernel")
    optimizer = with_multipliers(optax.sgd(1.0), layer_decay(0.5))
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(ones, optimizer.init(params), params)
    found = jnp.take(nnx.to_pure_dict(updates)["blocks"]["kernel"], 1, axis)
    np.testing.assert_array_equal(found, -0.25)


def test_an_axis_of_another_name_is_no_stack() -> None:
    params = nnx.state(Vmapped(0, "experts"), nnx.Param)
    assert len(explain(params, layer_decay(0.5)).rows) == 4
