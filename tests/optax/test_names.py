"""Names and levels of Flax, Equinox and plain parameters."""

from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from layerwise import layer_decay, piecewise_constant
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.optax import (
    explain,
    layers_of,
    learning_rates,
    scale_by_multipliers,
    with_multipliers,
)
from tests._support.optax.trees import bits

ONE = jnp.ones(1)


def values(params: Any, rules: Any, **options: Any) -> dict[str, float]:
    plan = explain(params, rules, **options)
    return {row.parameter.name: row.value for row in plan.rows}


class LinenNet(nn.Module):
    """Twelve equal layers and a head, made as they are called."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(12):
            x = nn.Dense(2)(x)
        return nn.Dense(1, name="head")(x)


@cache
def linen_variables() -> Any:
    return jax.jit(LinenNet().init)(jax.random.key(0), jnp.ones((1, 2)))


class NnxNet(nnx.Module):
    """Layers in a list, batch norm with statistics, attention, a head."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.stem = nnx.Linear(2, 4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(11)])
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.head = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class EquinoxNet(eqx.Module):
    """Fields in an order that is not the alphabet's; a function and a None among them."""

    stem: eqx.nn.Linear
    blocks: list[eqx.nn.Linear]
    activation: Any
    head: eqx.nn.Linear
    attention_free: Any = None

    def __init__(self) -> None:
        keys = jax.random.split(jax.random.key(0), 5)
        self.stem = eqx.nn.Linear(2, 4, key=keys[0])
        self.blocks = [eqx.nn.Linear(4, 4, key=key) for key in keys[1:4]]
        self.activation = jax.nn.relu
        self.head = eqx.nn.Linear(4, 1, use_bias=False, key=keys[4])

    def __call__(self, x: Any) -> Any:
        x = self.stem(x)
        for block in self.blocks:
            x = self.activation(block(x))
        return self.head(x)


# --- Flax linen ----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["Dense_1/", "params/Dense_1/"])
def test_linen_with_and_without_the_collection(key: str) -> None:
    variables = linen_variables()
    assert values(variables, {key: 0.5})["params/Dense_1/kernel"] == 0.5
    assert values(variables, {key: 0.5})["params/Dense_10/kernel"] == 1.0
    short = key.removeprefix("params/")
    assert values(variables["params"], {short: 0.5})["Dense_1/kernel"] == 0.5


def test_linen_layers_count_as_numbers_do() -> None:
    levels = layers_of(linen_variables()["params"])
    owners = [level[0].split("/")[0] for level in levels]
    assert owners == [f"Dense_{i}" for i in range(12)] + ["head"]
    decayed = values(linen_variables(), layer_decay(0.5))
    assert decayed["params/head/bias"] == 1.0
    assert decayed["params/Dense_11/bias"] == 0.5
    assert decayed["params/Dense_10/bias"] == 0.25
    assert decayed["params/Dense_0/kernel"] == 0.5**12


def test_linen_trains() -> None:
    params = linen_variables()
    optimizer = with_multipliers(optax.adam(0.1), {"Dense_3": 0, "head": 0.5})
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        loss = lambda p: jnp.sum(LinenNet().apply(p, jnp.ones((1, 2))) ** 2)  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    after, state = step(params, state)
    assert bits(after["params"]["Dense_3"]) == bits(params["params"]["Dense_3"])
    assert bits(after["params"]["head"]) != bits(params["params"]["head"])
    rates = learning_rates(state, after, learning_rate=0.1)
    assert rates["params/head/kernel"] == pytest.approx(0.05)


# --- Flax nnx ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tree", [lambda m: m, lambda m: nnx.state(m, nnx.Param), nnx.to_pure_dict])
def test_nnx_names_are_attributes(tree: Any) -> None:
    model = NnxNet()
    given = tree(nnx.state(model, nnx.Param)) if tree is nnx.to_pure_dict else tree(model)
    named = values(given, {"blocks/1/": 0.5, "stem/kernel": 0.25})
    assert named["blocks/1/kernel"] == 0.5
    assert named["blocks/10/kernel"] == 1.0
    assert named["stem/kernel"] == 0.25
    assert not any(name.endswith("/value") for name in named)


def test_nnx_sorts_attributes_so_that_layers_have_to_be_named() -> None:
    for tree in (NnxNet(), nnx.state(NnxNet(), nnx.Param)):
        with pytest.raises(MultiplierError, match=r"'blocks', 'norm', 'stem'.*layers="):
            explain(tree, layer_decay(0.5))
        layers = ["stem", *(f"blocks/{i}/" for i in range(11)), "norm", "head"]
        decayed = values(tree, layer_decay(0.5, layers=layers))
        assert decayed["norm/scale"] == 0.5
        assert decayed["blocks/10/kernel"] == 0.25
        assert decayed["stem/bias"] == 0.5**13


@pytest.mark.parametrize("freezer", [0, lambda count: 0.0 * count])
def test_nnx_trains(freezer: Any) -> None:
    model = NnxNet()
    optimizer = nnx.Optimizer(
        model,
        with_multipliers(
            optax.inject_hyperparams(optax.adamw)(learning_rate=0.1), {"stem": freezer, "head": 0.5}
        ),
        wrt=nnx.Param,
    )
    before = jax.tree.map(jnp.copy, nnx.to_pure_dict(nnx.state(model, nnx.Param)))

    @nnx.jit
    def step(model: Any, optimizer: Any) -> None:
        loss = lambda model: jnp.sum(model(jnp.arange(6.0).reshape(3, 2)) ** 2)  # noqa: E731
        optimizer.update(model, nnx.grad(loss)(model))

    for _ in range(2):
        step(model, optimizer)
    after = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    assert bits(after["stem"]) == bits(before["stem"])
    assert all(a != b for a, b in zip(bits(after["blocks"]), bits(before["blocks"]), strict=True))
    rates = learning_rates(optimizer.opt_state, nnx.state(model, nnx.Param))
    assert rates["stem/kernel"] == 0.0
    assert rates["head/kernel"] == pytest.approx(0.05)
    assert rates["norm/scale"] == pytest.approx(0.1)


# --- Equinox -------------------------------------------------------------------------------------


def test_equinox_fields_are_in_the_order_of_the_class() -> None:
    params = eqx.filter(EquinoxNet(), eqx.is_inexact_array)
    decayed = values(params, layer_decay(0.5))
    assert list(decayed) == [
        "stem/weight",
        "stem/bias",
        *(f"blocks/{i}/{part}" for i in range(3) for part in ("weight", "bias")),
        "head/weight",
    ]
    assert [decayed[name] for name in ("stem/bias", "blocks/2/bias", "head/weight")] == [
        0.5**4,
        0.5,
        1.0,
    ]


def test_equinox_trains_as_its_users_write_it() -> None:
    model = EquinoxNet()
    optimizer = with_multipliers(
        optax.adamw(0.1), {"stem": 0, "blocks/1/": lambda count: 0.0 * count, "head": 0.5}
    )
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model: Any, state: Any) -> Any:
        loss = lambda model: jnp.sum(jax.vmap(model)(jnp.ones((3, 2))) ** 2)  # noqa: E731
        gradients = eqx.filter_grad(loss)(model)
        params = eqx.filter(model, eqx.is_inexact_array)
        updates, state = optimizer.update(gradients, state, params)
        return eqx.apply_updates(model, updates), state

    after, state = step(*step(model, state))
    for frozen in (lambda m: m.stem, lambda m: m.blocks[1]):
        own = [eqx.filter(frozen(m), eqx.is_array) for m in (after, model)]
        assert bits(own[0]) == bits(own[1])
    assert bits(after.head.weight) != bits(model.head.weight)


def test_the_whole_equinox_model_may_stand_in_for_its_parameters() -> None:
    """Plain optimizers that don't look at parameters allow it, too; here all of them do."""
    model = EquinoxNet()
    gradients = eqx.filter(model, eqx.is_inexact_array)
    optimizer = with_multipliers(optax.lamb(0.1), {"stem": 0, "head": lambda count: 1.0})
    state = optimizer.init(gradients)
    mine, _ = optimizer.update(gradients, state, model)
    theirs, _ = optimizer.update(gradients, state, gradients)
    assert bits(mine) == bits(theirs)


def test_a_rule_for_what_is_none_is_not_dead() -> None:
    """eqx.partition puts None where nothing is trained."""
    model = eqx.filter(EquinoxNet(), eqx.is_inexact_array)
    half = eqx.tree_at(lambda m: (m.stem.weight, m.stem.bias), model, (None, None))
    assert values(half, {"stem": 0.5, "head": 0.1})["head/weight"] == 0.1
    assert "stem/weight" not in values(half, {"stem": 0.5})
    with pytest.raises(UnmatchedRuleError, match="'steam'"):
        explain(half, {"steam": 0.5})


# --- plain trees ---------------------------------------------------------------------------------


class Pair(NamedTuple):
    z: Any
    a: Any


def test_names_of_every_kind_of_tree() -> None:
    tree = {"x": [ONE, (ONE, {"deep": ONE})], "y": Pair(z=ONE, a={1: ONE}), "mlp/~/linear": ONE}
    names = ["mlp/~/linear", "x/0", "x/1/0", "x/1/1/deep", "y/z", "y/a/1"]
    assert list(values(tree, None)) == names
    assert list(values(ONE, {"params": 0.5}).values()) == [0.5]


def test_a_bare_array_trains() -> None:
    start = jnp.arange(3.0)
    never = with_multipliers(optax.adamw(0.1), {"params": 0})
    updates, _ = never.update(start * jnp.nan, never.init(start), start)
    assert bits(optax.apply_updates(start, updates)) == bits(start)

    once = with_multipliers(optax.adamw(0.1), {"params": piecewise_constant([1], [1.0, 0.0])})
    updates, state = once.update(start + 1, once.init(start), start)
    params, adam = optax.apply_updates(start, updates), state.inner_state[0]
    assert bits(params) != bits(start)
    assert bits(adam.mu) != bits(jnp.zeros(3))
    for _ in range(3):
        updates, state = once.update(start * jnp.nan, state, params)
        assert bits(optax.apply_updates(params, updates)) == bits(params)
    assert bits((state.inner_state[0].mu, state.inner_state[0].nu)) == bits((adam.mu, adam.nu))


@pytest.mark.parametrize("outer", [tuple, list])
def test_a_tuple_of_parameters_is_not_taken_for_the_state_of_a_chain(outer: Any) -> None:
    """A chain's state is a tuple, too; only what is built of leaves is held."""
    optimizer = with_multipliers(optax.adam(0.1), {"0": lambda count: 0.0 * count})
    start = outer([jnp.arange(3.0), jnp.arange(2.0)])
    gradients = outer([jnp.full(3, jnp.nan), jnp.ones(2)])
    updates, state = optimizer.update(gradients, optimizer.init(start), start)
    assert bits(updates[0]) == bits(jnp.full(3, -0.0))
    adam = state.inner_state[0]
    assert int(adam.count) == 1
    assert bits(adam.mu[0]) == bits(jnp.zeros(3))
    assert bool((adam.mu[1] != 0).all())


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"embed": 0, "layers_2": 0, "layers_10": 0, "head": 0}, "embed layers_2 layers_10 head"),
        ({"head": 0, "backbone": 0}, "backbone head"),
        ({"classifier": 0, "block1": 0, "block2": 0}, "block1 block2 classifier"),
        ({"a": [0, 0], "lm_head": 0}, "a/0 a/1 lm_head"),
        (Pair(z=0, a=0), "z a"),
        ([0, 0], "0 1"),
        ({2: 0, 10: 0, 1: 0}, "1 2 10"),
        ({"wte": 0, "wpe": 0, "h": {"0": 0, "1": 0}}, "wpe+wte h/0 h/1"),
        ({"attention": {"query": 0, "key": 0, "value": 0, "out": 0}}, "attention"),
        (
            {"block_0": {"mlp": 0, "attention": 0, "norm": 0}, "block_1": {"mlp": 0, "norm": 0}},
            "block_0 block_1",
        ),
    ],
)
def test_an_order_that_can_be_told(tree: Any, expected: str) -> None:
    params = jax.tree.map(lambda _: {"kernel": ONE, "bias": ONE}, tree)
    found = layers_of(params)
    wanted = expected.split()
    assert len(found) == len(wanted)
    for level, owners in zip(found, wanted, strict=True):
        for owner in owners.split("+"):
            assert any(name.startswith(f"{owner}/") for name in level)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"encoder": 0, "decoder": 0}, r"'decoder', 'encoder'.*layers="),
        ({"Conv_0": 0, "Conv_1": 0, "Dense_0": 0}, r"'Conv_0', 'Conv_1', 'Dense_0'"),
        ({"x": {"up": 0, "down": 0}}, r"'x/down', 'x/up'"),
        (dict.fromkeys("abcdefgh", 0), r"'f', \.\.\.\]"),
    ],
)
def test_an_order_that_cannot_be_told(tree: Any, message: str) -> None:
    params = jax.tree.map(lambda _: {"kernel": ONE}, tree)
    for call in (layers_of, lambda tree: explain(tree, [{"x": 1}, layer_decay(0.5)], strict=False)):
        with pytest.raises(MultiplierError, match=message):
            call(params)
    optimizer = scale_by_multipliers([layer_decay(0.5)])
    with pytest.raises(MultiplierError, match=message):
        optimizer.init(params)
    first = next(iter(tree))
    assert values(params, {first: 0.5})[f"{first}/{_rest(params[first])}"] == 0.5  # needs no order


def _rest(params: Any) -> str:
    return jax.tree_util.keystr(
        jax.tree_util.tree_leaves_with_path(params)[0][0], simple=True, separator="/"
    )


def test_levels_given_as_an_argument_or_in_the_strategy() -> None:
    params = {"encoder": {"kernel": ONE}, "decoder": {"kernel": ONE}}
    expected = {"decoder/kernel": 1.0, "encoder/kernel": 0.5}
    order = ["encoder", "decoder"]
    assert values(params, layer_decay(0.5), layers=order) == expected
    assert values(params, layer_decay(0.5, layers=order)) == expected


# --- what an outer mask hides --------------------------------------------------------------------


def test_inside_of_partition_and_masked() -> None:
    """What the outer mask hides still has a name, and a depth; it is not touched."""
    params = {f"layer_{i}": {"kernel": jnp.full(2, 1.0 + i)} for i in range(3)}
    labels = {"layer_0": {"kernel": "a"}, "layer_1": {"kernel": "b"}, "layer_2": {"kernel": "a"}}
    rules = [layer_decay(0.5), {"layer_2": 2.0}]
    optimizer = optax.partition(
        {"a": with_multipliers(optax.sgd(1.0), rules), "b": optax.sgd(3.0)}, labels
    )
    state = optimizer.init(params)
    updates, state = optimizer.update(params, state, params)
    moved = {name: float(leaf["kernel"][0]) for name, leaf in updates.items()}
    assert moved == {"layer_0": -0.25, "layer_1": -6.0, "layer_2": -6.0}
    rates = learning_rates(state, params, learning_rate=1.0)
    assert rates == {"layer_0/kernel": 0.25, "layer_2/kernel": 2.0}
