"""Paths, and parts of a model, as keys of rules in Optax."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

from layerwise import AmbiguousRuleError, UnmatchedRuleError, layer_decay
from layerwise.errors import MultiplierError
from layerwise.optax import add_decayed_weights, explain, key_of, with_multipliers

PARAMS = {"params": {"encoder": [{"kernel": jnp.ones(2), "bias": jnp.ones(2)}, jnp.ones(3)]}}


def values(params: Any, rules: Any = None, **options: Any) -> list[float]:
    return explain(params, rules, **options).multipliers(0).tolist()


@pytest.mark.parametrize("match", ["prefix", "substring", "glob", "regex"])
def test_paths(match: str) -> None:
    assert values(PARAMS, {("encoder", 0): 0.1}, match=match) == [0.1, 0.1, 1]
    assert values(PARAMS, {("params", "encoder", 0, "bias"): 0.1}, match=match) == [0.1, 1, 1]
    [(path, _), *_] = jax.tree_util.tree_flatten_with_path(PARAMS)[0]
    assert values(PARAMS, {path: 0.1}, match=match) == [0.1, 1, 1]


def test_paths_beside_names() -> None:
    assert values(PARAMS, {("encoder",): 0.1, ("encoder", 0): 0.5}) == [0.5, 0.5, 0.1]
    assert values(PARAMS, {("encoder", 0): 0.1, "encoder/0/bias": 2}) == [2, 0.1, 1]
    assert values(PARAMS, [(("encoder", 0), 0.1), layer_decay(0.5)])[:2] == [0.1, 0.1]
    for text in ("encoder/0", "encoder/0/", "params/encoder/0/"):
        with pytest.raises(AmbiguousRuleError, match="encoder/0"):
            values(PARAMS, [{("encoder", 0): 0.1}, {text: 2}])
    with pytest.raises(UnmatchedRuleError, match="'encoder/7': no parameter has this name"):
        values(PARAMS, {("encoder", 7): 0.1})


def test_parts_of_equinox_modules() -> None:
    model = eqx.nn.MLP(2, 1, 3, 2, key=jax.random.key(0))
    params = eqx.filter(model, eqx.is_inexact_array)
    rules = {key_of(model, model.layers[1]): 0.1, key_of(model, model.layers[2].bias): 3}
    assert values(params, rules) == [1, 1, 0.1, 0.1, 1, 3]
    assert values(params, {key_of(model, model): 0.1, **rules}) == [0.1] * 5 + [3]
    levels = [key_of(model, layer) for layer in model.layers]
    assert values(params, layer_decay(0.5), layers=levels) == [0.25, 0.25, 0.5, 0.5, 1, 1]


class Net(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.a = nnx.Linear(2, 3, rngs=rngs)
        self.b = nnx.Linear(3, 1, rngs=rngs)


def test_parts_of_nnx_modules() -> None:
    net = Net()
    state = nnx.state(net, nnx.Param)
    assert values(state, {key_of(net, net.a): 0.1, key_of(net, net.b.kernel): 2}) == [
        0.1,
        0.1,
        1,
        2,
    ]
    assert values(state, {key_of(state, net.b.kernel.get_value()): 2}) == [1, 1, 1, 2]
    optimizer = nnx.Optimizer(
        net, with_multipliers(optax.sgd(0.1), {key_of(net, net.a): 0}), wrt=nnx.Param
    )
    before = net.a.kernel.get_value().tolist(), net.b.kernel.get_value().tolist()
    optimizer.update(net, jax.tree.map(jnp.ones_like, state))
    assert net.a.kernel.get_value().tolist() == before[0]
    assert net.b.kernel.get_value().tolist() != before[1]


def test_in_decay_rules_and_under_a_mask() -> None:
    params = {"enc": {"w": jnp.ones(2)}, "dec": {"w": jnp.ones(2)}}
    zeros = jax.tree.map(jnp.zeros_like, params)
    link = add_decayed_weights(1.0, {("enc",): 0.5, key_of(params, params["dec"]["w"]): 0})
    updates, _ = link.update(zeros, link.init(params), params)
    assert (updates["enc"]["w"][0].item(), updates["dec"]["w"][0].item()) == (0.5, 0.0)
    masked = optax.masked(
        with_multipliers(optax.sgd(1.0), {("enc",): 0.5, ("dec", "w"): 0}),
        {"enc": True, "dec": False},
    )
    updates, _ = masked.update(params, masked.init(params), params)
    assert updates["enc"]["w"].tolist() == [-0.5, -0.5]


def test_an_array_that_stands_twice() -> None:
    shared = jnp.ones(2)
    params = {"a": shared, "b": shared, "c": jnp.ones(2)}
    assert values(params, {key_of(params, shared): 0.1}) == [0.1, 0.1, 1]


@pytest.mark.parametrize("part", [jnp.ones(2), None, "kernel", 3, 0.5])
def test_what_is_no_part(part: Any) -> None:
    with pytest.raises(MultiplierError, match="is no part of this dict"):
        key_of(PARAMS, part)


@pytest.mark.parametrize("key", [(), ("",), ("a", None), 3, jnp.ones(2), None])
def test_bad_keys_say_what_a_key_may_be(key: Any) -> None:
    with pytest.raises(MultiplierError, match=r"or a path such as.*key_of\(model, part\)"):
        with_multipliers(optax.sgd(0.1), [(key, 0.1)])
