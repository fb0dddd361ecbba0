"""A label or a mask for a whole subtree: names, depth and counts are those of the leaves."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import layer_decay
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.optax import (
    explain,
    find_lr,
    layers_of,
    learning_rates,
    scale_by_multipliers,
    with_multipliers,
)
from tests._support.optax.kinds import transformer
from tests._support.optax.trees import bits, labelled, make_params, train

LABELS = {"embed": "a", "blocks": "b", "head": "a"}
WAYS = pytest.mark.parametrize(
    "way",
    [
        with_multipliers,
        lambda tx, *rules, **kw: optax.chain(tx, scale_by_multipliers(*rules, **kw)),
    ],
    ids=["with_multipliers", "scale_by_multipliers"],
)


def moved(optimizer: Any, params: Any) -> dict[str, float]:
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    leaves = jax.tree_util.tree_leaves_with_path(updates)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): -float(leaf.ravel()[0])
        for path, leaf in leaves
    }


def around(kind: str, make: Any) -> Any:
    """The multipliers inside of something that hides whole subtrees."""
    if kind == "partition":
        return optax.partition({"a": make(), "b": make()}, LABELS)
    if kind == "a function of labels":
        return optax.multi_transform({"a": make(), "b": make()}, lambda _: LABELS)
    if kind == "masked":
        mask = {name: label == "a" for name, label in LABELS.items()}
        rest = {name: not shown for name, shown in mask.items()}
        return optax.chain(optax.masked(make(), mask), optax.masked(make(), rest))
    if kind == "selective_transform":
        return optax.selective_transform(
            make(), freeze_mask={"embed": False, "blocks": True, "head": False}
        )
    inner = optax.partition(
        {"x": make(), "y": optax.sgd(1.0)}, {"embed": "x", "head": "y"} | {"blocks": "x"}
    )
    return optax.partition({"a": inner, "b": make()}, LABELS)


KINDS = ["partition", "a function of labels", "masked", "selective_transform", "nested"]


@WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_a_depth_that_depends_on_what_is_hidden_is_an_error(way: Any, kind: str) -> None:
    params = transformer()
    optimizer = around(kind, lambda: way(optax.sgd(1.0), layer_decay(0.5)))
    with pytest.raises(MultiplierError, match=r"hides .*'blocks'.*layers=layers_of\(params\)"):
        optimizer.init(params)


@WAYS
@pytest.mark.parametrize("kind", KINDS)
def test_all_levels_said_the_depth_is_that_of_the_leaves(way: Any, kind: str) -> None:
    params = transformer()
    optimizer = around(
        kind, lambda: way(optax.sgd(1.0), layer_decay(0.5), layers=layers_of(params))
    )
    found = moved(optimizer, params)
    whole = dict(zip(found, explain(params, layer_decay(0.5)).multipliers(0), strict=True))
    assert found["embed/kernel"] == whole["embed/kernel"] == 0.5**7
    if kind == "selective_transform":
        assert found["blocks/block_0/bias"] == 0.0
    else:
        assert found["blocks/block_0/bias"] == whole["blocks/block_0/bias"] == 0.5**6
    assert found["head/bias"] == 1.0


def test_a_depth_that_does_not_depend_on_it_is_found() -> None:
    """Each leaf has a label; what is hidden is named like a leaf, or lies in a numbered block."""
    params = transformer()
    labels = jax.tree.map(lambda leaf: "a" if leaf.ndim == 2 else "b", params)
    make = lambda: with_multipliers(optax.sgd(1.0), layer_decay(0.5))  # noqa: E731
    found = moved(optax.partition({"a": make(), "b": make()}, labels), params)
    assert list(found.values()) == explain(params, layer_decay(0.5)).multipliers(0).tolist()
    blocks = {f"block_{i}": {"x": jnp.ones(1), "sub": {"y": jnp.ones(1)}} for i in range(3)}
    hidden = {name: {"x": "a", "sub": "b"} for name in blocks}
    found = moved(optax.partition({"a": make(), "b": make()}, hidden), blocks)
    assert [found[f"block_{i}/x"] for i in range(3)] == [0.25, 0.5, 1.0]
    assert [found[f"block_{i}/sub/y"] for i in range(3)] == [0.25, 0.5, 1.0]


@WAYS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", ["blocks/block_3", "embed/kernel"])
def test_a_rule_for_what_is_hidden_is_not_dead(way: Any, kind: str, key: str) -> None:
    params = transformer()
    rules = {"blocks/block_3": 0.5, "embed/kernel": 0.25}
    found = moved(around(kind, lambda: way(optax.sgd(1.0), rules)), params)
    frozen = kind == "selective_transform" and key.startswith("blocks")
    expected = 0.0 if frozen else rules[key]
    assert found[key if key in found else f"{key}/bias"] == expected
    with pytest.raises(UnmatchedRuleError, match="'embd'"):
        around(kind, lambda: way(optax.sgd(1.0), rules | {"embd": 0.5})).init(params)


@pytest.mark.parametrize("match", ["glob", "substring", "regex"])
def test_patterns_may_match_what_is_hidden(match: str) -> None:
    key = {"glob": "blocks/*_3", "substring": "_3", "regex": r"block_3\b"}[match]
    params = transformer()
    make = lambda: with_multipliers(optax.sgd(1.0), {key: 0.5}, match=match)  # noqa: E731
    found = moved(optax.partition({"a": make(), "b": make()}, LABELS), params)
    assert found["blocks/block_3/bias"] == 0.5
    assert found["blocks/block_2/bias"] == found["head/bias"] == 1.0


@WAYS
@pytest.mark.parametrize("kind", ["partition", "a function of labels", "masked", "nested"])
def test_rates_have_the_names_of_the_leaves(way: Any, kind: str) -> None:
    params = transformer()
    rules = {"blocks/block_3/bias": 0.5, "embed": 0.25}
    state = around(kind, lambda: way(optax.sgd(1.0), rules)).init(params)
    rates = learning_rates(state, params, learning_rate=0.1)
    plan = explain(params, rules, learning_rate=0.1)
    expected = dict(zip(plan.to_dict()["parameter"], plan.rates(0), strict=True))
    if kind == "nested":
        expected = {k: v for k, v in expected.items() if not k.startswith("head")}
    assert rates == pytest.approx(expected)
    assert list(rates) == list(expected)


def test_rates_of_one_label_and_of_the_middle() -> None:
    """What is hidden may stand before, between and after what is not."""
    params = make_params()
    for layer in params:
        labels = {name: "s" if name == layer else "f" for name in params}
        slow = with_multipliers(optax.adam(1e-3), {f"{layer}/kernel": 0.5})
        optimizer = optax.partition({"s": slow, "f": optax.sgd(1e-2)}, labels)
        rates = learning_rates(optimizer.init(params), params, learning_rate=1e-3)
        assert rates == pytest.approx({f"{layer}/bias": 1e-3, f"{layer}/kernel": 5e-4})


def test_find_lr_gives_the_rates_of_the_groups() -> None:
    params = make_params()

    def optimizer(rate: Any) -> Any:
        slow = with_multipliers(optax.sgd(rate), {"low/kernel": 0.5})
        return optax.partition(
            {"s": slow, "f": optax.sgd(rate)}, {"low": "s"} | {"middle": "f", "high": "f"}
        )

    found = find_lr(
        lambda p, batch: sum(jnp.mean((leaf - batch) ** 2) for leaf in jax.tree.leaves(p)),
        params,
        np.linspace(0.0, 1.0, 30).astype("float32"),
        optimizer,
        steps=12,
        method="sweep",
        progress=False,
    )
    assert found.group_factors == {"low/bias": 1.0, "low/kernel": 0.5}


def test_training_equals_one_optimizer_for_each_label() -> None:
    params = make_params()
    slow = with_multipliers(optax.adamw(0.01), {"low": 0.25})
    optimizer = optax.partition(
        {"s": slow, "f": optax.adamw(0.02)}, {"low": "s", "middle": "s", "high": "f"}
    )
    rates = {"low": 0.01 * 0.25, "middle": 0.01, "high": 0.02}
    theirs, _ = train(labelled(optax.adamw, rates), params)
    assert bits(train(optimizer, params)[0]) == bits(theirs)
