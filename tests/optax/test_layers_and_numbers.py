"""What is the same in all frameworks, with Optax' separator: written levels, keys with numbers."""

import jax.numpy as jnp
import optax
import pytest

from layerwise import layer_decay, side_by_side
from layerwise.errors import UnmatchedRuleError
from layerwise.optax import explain, layers_of, with_multipliers

BLOCKS = {f"block_{number}": {"kernel": jnp.ones(2)} for number in range(12)}
NET = {name: {"kernel": jnp.ones(2)} for name in ("stem", "body", "head")}


def test_a_prefix_that_takes_longer_numbers_is_said_once() -> None:
    with pytest.warns(UserWarning, match=r"'block_1' also takes .*'block_1/'") as caught:
        plan = explain(BLOCKS, {"block_1": 0.5})
    assert len(caught) == 1
    assert "also takes 'block_10', 'block_11'" in " ".join(str(plan).split())
    assert explain(BLOCKS, {"block_1/": 0.5}).multipliers(0).tolist().count(0.5) == 1


def test_written_levels_are_neither_dead_nor_incomplete() -> None:
    for levels, words in (
        (["stemm", "body", "head"], "'stemm': nearest 'stem'"),
        (["stem", "head"], "in no level of layers=.*'body/kernel'"),
        (["stem", "stem/kernel", "body", "head"], r"\['stem'\] of layers= has no parameter"),
    ):
        with pytest.raises(UnmatchedRuleError, match=f"(?s){words}"):
            explain(NET, layer_decay(0.5), layers=levels)
        with pytest.raises(UnmatchedRuleError, match=f"(?s){words}"):
            with_multipliers(optax.sgd(1.0), layer_decay(0.5), layers=levels).init(NET)


def test_towers_and_heads_lie_side_by_side() -> None:
    towers = {
        name: [{"kernel": jnp.ones(2)} for _ in range(count)]
        for name, count in (("image", 3), ("text", 2))
    }
    levels = [[f"image/{i}"] for i in range(3)] + [[f"text/{i}"] for i in range(2)]
    plan = explain(towers, layer_decay(0.5), layers=side_by_side(levels, "image", "text"))
    assert plan.multipliers(0).tolist() == [0.25, 0.5, 1.0, 0.5, 1.0]
    heads = {"body": {"kernel": jnp.ones(2)}, "heads": [{"kernel": jnp.ones(2)} for _ in range(2)]}
    assert layers_of(heads) == (("body/kernel",), ("heads/0/kernel", "heads/1/kernel"))
