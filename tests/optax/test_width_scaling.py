"""width_scaling and lora_plus in Optax: families by what optimizers do, and trees of all kinds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from layerwise import MultiplierError, lora_plus, width_scaling
from layerwise.optax import check_width_scaling, explain, scale_by_multipliers, with_multipliers
from layerwise.optax._model_facts import family_of

PARAMS = {
    "a": {"kernel": jnp.ones((5, 7)), "bias": jnp.ones(7)},
    "b": {"kernel": jnp.ones((7, 3))},
}
LABELS = {"a": "one", "b": "other"}

FAMILIES = {
    "adam": (optax.adam(1e-3), "adam"),
    "adamw": (optax.adamw(1e-3, weight_decay=0.1), "adam"),
    "adagrad": (optax.adagrad(0.1), "adam"),
    "lion": (optax.lion(1e-3), "adam"),
    "radam": (optax.radam(0.1), "adam"),
    "signs": (optax.sign_sgd(1e-3), "adam"),
    "warm-up": (optax.adam(optax.linear_schedule(0, 1e-3, 1000)), "adam"),
    "clipped": (optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)), "adam"),
    "sgd": (optax.sgd(0.1), "sgd"),
    "momentum": (optax.sgd(0.1, momentum=0.9, nesterov=True), "sgd"),
    "decayed": (optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1)), "sgd"),
    "clipped sgd": (optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)), "sgd"),
    "lamb": (optax.lamb(0.1), None),
    "adafactor": (optax.adafactor(0.1), None),
    "none": (optax.set_to_zero(), None),
    "mixed": (optax.partition({"one": optax.adam(1.0), "other": optax.sgd(1.0)}, LABELS), None),
    "part": (
        optax.partition({"one": optax.adam(1.0), "other": optax.set_to_zero()}, LABELS),
        "adam",
    ),
}
if hasattr(optax.contrib, "muon"):  # Optax 0.2.4 has none
    FAMILIES["muon"] = (optax.contrib.muon(0.1), None)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_family_is_found_by_what_the_optimizer_does(name):
    optimizer, family = FAMILIES[name]
    assert family_of(optimizer, PARAMS) == family


def tree(width, head=0.0):
    return {
        "enter": {"kernel": jnp.ones((3, width)), "bias": jnp.zeros(width)},
        "hidden": {"kernel": jnp.ones((width, width))},
        "head": {"kernel": jnp.full((width, 2), head)},
    }


@pytest.mark.parametrize(
    ("make", "factors"),
    [
        (optax.adam, {"enter": 1, "hidden": 1 / 4, "head": 1 / 4}),
        (lambda rate: optax.sgd(rate, 0.9), {"enter": 4, "hidden": 1, "head": 1 / 4}),
    ],
)
def test_updates_equal_one_optimizer_for_each_rate(make, factors):
    params = tree(32)
    optimizer = with_multipliers(make(0.125), width_scaling(tree(8)))
    several = optax.partition(
        {name: make(0.125 * factor) for name, factor in factors.items()},
        {name: name for name in factors},
    )
    ours, theirs = optimizer.init(params), several.init(params)
    for step in range(3):
        gradients = jax.tree.map(lambda p, step=step: jnp.cos(p + step), params)
        one, ours = jax.jit(optimizer.update)(gradients, ours, params)
        other, theirs = jax.jit(several.update)(gradients, theirs, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, other)


def test_the_optimizer_must_be_said_where_it_can_not_be_seen():
    for optimizer in (
        scale_by_multipliers(width_scaling(tree(8))),
        with_multipliers(optax.lamb(0.1), width_scaling(tree(8))),
    ):
        with pytest.raises(MultiplierError, match=r'optimizer="adam"'):
            optimizer.init(tree(32))
    scale_by_multipliers(width_scaling(tree(8), optimizer="adam")).init(tree(32))


def test_trees_of_flax_and_equinox_are_bases():
    def of_flax(width):
        return nnx.state(nnx.Linear(width, 3, rngs=nnx.Rngs(0)), nnx.Param)

    def of_equinox(width):
        return eqx.filter(eqx.nn.Linear(width, 3, key=jax.random.key(0)), eqx.is_inexact_array)

    for make in (of_flax, of_equinox):
        with pytest.warns(UserWarning, match="Before training, once: ") as warned:
            plan = explain(make(256), width_scaling(make(16), optimizer="adam"))
        assert sorted(plan.multipliers(0)) == [1 / 16, 1]
        scope = {"jax": jax, "params": make(256)}
        exec(str(warned[0].message).partition("Before training, once: ")[2], scope)
        assert explain(scope["params"], width_scaling(make(16), optimizer="adam")).notes == ()
    shapes = jax.eval_shape(lambda: tree(8))
    assert explain(tree(32), width_scaling(shapes, optimizer="adam")).rows[-1].value == 1 / 4


def test_the_coordinate_check_passes_with_it_and_not_without():
    x = jax.random.normal(jax.random.key(0), (32, 8))

    def make(width, key):
        one, other = jax.random.split(key)
        return {
            "a": {"kernel": jax.random.normal(one, (8, width)) / 8**0.5},
            "b": {"kernel": jax.random.normal(other, (width, width)) * (2 / width) ** 0.5},
            "head": {"kernel": jnp.zeros((width, 1))},
        }

    def activations(params):
        a = jax.nn.relu(x @ params["a"]["kernel"])
        b = jax.nn.relu(a @ params["b"]["kernel"])
        return {"a": a, "b": b, "head": b @ params["head"]["kernel"]}

    def loss(params):
        return jnp.mean((activations(params)["head"] - x[:, :1]) ** 2)

    arguments = (make, [64, 512], activations, loss, optax.adam(3e-3))
    check = check_width_scaling(*arguments, steps=3)
    assert check.passes, check.verdict
    assert not check_width_scaling(*arguments, steps=3, rules={}).passes


def test_lora_plus_knows_the_factors_of_flax():
    layer = nnx.LoRALinear(4, 5, lora_rank=2, rngs=nnx.Rngs(0))
    plan = explain(nnx.state(layer, nnx.LoRAParam), lora_plus(4))
    assert {row.parameter.name: row.value for row in plan.rows} == {
        "lora/lora_a": 1,
        "lora/lora_b": 4,
    }
