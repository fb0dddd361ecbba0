"""Where the order of layers can't be told, the error proposes all of them, to be checked."""

import ast
import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from jax.experimental import sparse

from layerwise import discriminative, gradual_unfreezing, layer_decay
from layerwise.errors import LayerwiseError, MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.optax import explain, layers_of, scale_by_multipliers, with_multipliers
from tests._support.optax.trees import make_params

LAYER = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}


class Net(nnx.Module):
    """A list of layers between two that nothing tells the order of."""

    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.stem = nnx.Linear(2, 2, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(11)])
        self.mixer = nnx.Linear(2, 2, rngs=rngs)
        self.head = nnx.Linear(2, 2, rngs=rngs)


ATTENTION = dict.fromkeys(("query", "key", "value", "out"), LAYER)
TREES: dict[str, tuple[Any, list[Any]]] = {
    "nnx": (
        nnx.state(Net(), nnx.Param),
        ["stem", *(f"blocks/{i}" for i in range(11)), "mixer", "head"],
    ),
    "two towers": (
        {"text": {"layer_0": LAYER, "layer_1": LAYER}, "image": {"layer_0": LAYER}, "head": LAYER},
        ["image/layer_0", "text/layer_0", "text/layer_1", "head"],
    ),
    "attention and embeddings": (
        {"wte": LAYER, "wpe": LAYER, "attn": ATTENTION, "mlp": LAYER, "ln_f": LAYER},
        [["wpe", "wte"], "attn", "mlp", "ln_f"],
    ),
    "a leaf beside layers": (
        {"encoder": {"scale": jnp.ones(2), "dense": LAYER}, "decoder": LAYER},
        ["encoder/dense", "encoder/scale", "decoder"],
    ),
    "flax": (
        {"params": {"Conv_0": LAYER, "Conv_1": LAYER, "Dense_0": LAYER}},
        ["params/Conv_0", "params/Conv_1", "params/Dense_0"],
    ),
    "names that begin alike": (
        {"a": LAYER, "ab": LAYER, "abc": {"d": LAYER, "de": LAYER}},
        ["a", "ab", "abc/d", "abc/de"],
    ),
    "many": (dict.fromkeys("abcdefghij", LAYER), [*"abcdefghij"]),
}


def proposal(error: Exception) -> list[Any]:
    return ast.literal_eval(str(error).split("layers=")[-1])


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize(
    "strategy", [layer_decay(0.5), discriminative(0.5), gradual_unfreezing(10)]
)
def test_all_levels_are_proposed(name: str, strategy: Any) -> None:
    params, expected = TREES[name]
    with pytest.raises(MultiplierError, match=r"only guessed.* wrong rates") as raised:
        explain(params, strategy)
    assert proposal(raised.value) == expected
    with pytest.raises(MultiplierError) as from_init:
        with_multipliers(optax.sgd(0.1), strategy).init(params)
    assert str(from_init.value) == str(raised.value)


@pytest.mark.parametrize("name", TREES)
def test_what_is_proposed_has_every_parameter_in_a_level_of_its_own(name: str) -> None:
    params, expected = TREES[name]
    with pytest.raises(MultiplierError) as raised:
        layers_of(params)
    levels = proposal(raised.value)
    plan = explain(params, layer_decay(0.5), layers=levels)
    values: dict[float, set[str]] = {}
    for row in plan.rows:
        assert row.rule is not None
        values.setdefault(float(row.value), set()).add(row.parameter.name)
    assert len(values) == len(expected)
    head = next(names for value, names in values.items() if value == 1.0)
    assert all(any(n.startswith(s) for s in _starts(levels[-1])) for n in head)


def _starts(level: Any) -> list[str]:
    return [level] if isinstance(level, str) else level


def test_what_is_asked_first_names_who_is_meant() -> None:
    with pytest.raises(MultiplierError, match=r"which of \['blocks', 'mixer', 'stem'\] is nearest"):
        layers_of(nnx.state(Net(), nnx.Param))


# --- errors and ways out -------------------------------------------------------------------------


def test_a_strategy_inside_of_a_mapping() -> None:
    for value in (layer_decay(0.5), gradual_unfreezing(3)):
        with pytest.raises(MultiplierError, match=r"A strategy stands beside a mapping"):
            with_multipliers(optax.sgd(0.1), {"low": value})
        rules = [value, {"low": 0.5}]
        explain(make_params(), rules, layers=["low", "middle", "high"])


class Tied(nnx.Module):
    """An output layer that is the embedding."""

    def __init__(self) -> None:
        self.embed = nnx.Embed(4, 2, rngs=nnx.Rngs(0))
        self.head = nnx.Linear(2, 4, rngs=nnx.Rngs(0))
        self.head.kernel = self.embed.embedding


def test_the_second_name_of_a_tied_weight() -> None:
    """Flax keeps the first name alone; the error shows the names that there are."""
    params = nnx.state(Tied(), nnx.Param)
    assert "head/kernel" not in explain(params).to_dict()["parameter"]
    with pytest.raises(UnmatchedRuleError, match=r"'head/kernel'.*'head/bias'"):
        explain(params, {"head/kernel": 0.5})
    assert explain(params, {"embed": 0.5}).multipliers(0).tolist() == [0.5, 1.0]


@pytest.mark.parametrize(
    "call",
    [
        explain,
        layers_of,
        with_multipliers(optax.adam(0.1)).init,
        scale_by_multipliers({"layers": 0.5}).init,
        lambda model: with_multipliers(optax.adam(0.1), {"layers": 0}).init(model),
    ],
)
def test_an_unfiltered_module_of_equinox(call: Any) -> None:
    model = eqx.nn.MLP(2, 1, 4, 2, key=jax.random.key(0))
    with pytest.raises(OptimizerError, match=r"'activation' is .*eqx\.filter\(model"):
        call(model)
    call(eqx.filter(model, eqx.is_inexact_array))


@pytest.mark.parametrize("leaf", ["text", object(), jnp.sin])
def test_a_leaf_that_is_no_array(leaf: Any) -> None:
    with pytest.raises(OptimizerError, match=r"'b' is .*no array"):
        explain({"a": jnp.ones(2), "b": leaf})


@pytest.mark.parametrize("way", [with_multipliers(optax.sgd(0.1)), scale_by_multipliers()])
@pytest.mark.parametrize("kind", [sparse.BCOO, sparse.BCSR])
def test_sparse_gradients_and_parameters(way: Any, kind: Any) -> None:
    params = {"body": jnp.eye(3), "head": jnp.ones(2)}
    gradients = params | {"body": kind.fromdense(params["body"])}
    state = way.init(params)
    for call in (lambda: way.update(gradients, state, params), lambda: way.init(gradients)):
        with pytest.raises(OptimizerError, match=r"'body' is a sparse array.*todense"):
            call()
    dense = params | {"body": gradients["body"].todense()}
    assert way.update(dense, state, params)


def test_every_error_is_a_sentence_of_ours() -> None:
    with pytest.raises(LayerwiseError) as raised:
        layers_of({"b": LAYER, "a": LAYER})
    assert re.search(r"^[A-Z].*\]$", str(raised.value), re.DOTALL)


# --- arrays that are layers by themselves --------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "levels"),
    [
        ({"head": 2, "body": 2}, ["body", "head"]),
        ({"head": 2, "layer_10": 2, "layer_9": 2}, ["layer_9", "layer_10", "head"]),
        ({"embed": 2, "body": {"kernel": 2}, "head": 2}, ["embed", "body/kernel", "head"]),
        ({"params": {"body": 2, "head": 2}}, ["params/body", "params/head"]),
        ({"embed": {"w": 2}, "head": {"w": 2}, "logit_scale": 0}, ["embed/w", "head/w"]),
    ],
)
def test_an_array_beside_others_is_a_layer(tree: Any, levels: list[str]) -> None:
    """It was one level with all such arrays, so that all of them learned at the head's rate."""
    params = jax.tree.map(lambda size: jnp.ones((size,) if size else ()), tree)
    found = layers_of(params)
    assert [level[0] for level in found] == levels
    plan = explain(params, layer_decay(0.5))
    values = {row.parameter.name: row.value for row in plan.rows}
    assert [values[name] for name in levels] == [0.5**i for i in range(len(levels))][::-1]
    assert values.get("logit_scale", 1.0) == 1.0


def test_the_parts_of_one_layer_are_one() -> None:
    for params in (LAYER, {"params": LAYER}, jnp.ones(2), {"scale": jnp.ones(())}):
        assert len(layers_of(params)) == 1
    with pytest.raises(MultiplierError, match=r"layers=\['stem', 'middle', 'head'\]"):
        layers_of({"stem": jnp.ones(2), "middle": jnp.ones(2), "head": jnp.ones(2)})
