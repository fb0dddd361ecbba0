"""What multipliers may be put around: it is trained right, or refused with the way out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from flax import traverse_util

from layerwise import constant, cosine, linear, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.optax import scale_by_multipliers, with_multipliers
from tests._support.optax.trees import bits, labelled, make_gradients, make_params, train

ADVERSARY = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
SCALED = {"low": 0.5}
FROZEN = {"low": 0}
MOVING = {"low": cosine(10)}


def loss(params: Any) -> Any:
    return sum(jnp.sum((leaf - 0.5) ** 2) for leaf in jax.tree.leaves(params)) * 0.5 + jnp.sum(
        params["low"]["bias"] * params["high"]["bias"]
    )


def without_low(tree: Any) -> Any:
    return {name: layer for name, layer in tree.items() if name != "low"}


def broken(step: int) -> Any:
    """Gradients of which those of the layer low are NaN."""
    gradients = make_gradients(step)
    return gradients | {"low": jax.tree.map(lambda leaf: leaf * jnp.nan, gradients["low"])}


# --- refused -------------------------------------------------------------------------------------

SAM = optax.contrib.sam(optax.sgd(0.1), ADVERSARY)
ZOOM = optax.scale_by_zoom_linesearch(10)
REFUSED: list[Any] = [
    (SAM, SCALED, r"sam\(with_multipliers"),
    (SAM, FROZEN, r"sam\(with_multipliers"),
    (optax.chain(optax.clip(1.0), SAM), MOVING, r"sam\(with_multipliers"),
    (optax.contrib.mechanize(optax.sgd(0.1)), SCALED, r"mechanize\(with_multipliers"),
    (optax.lbfgs(), SCALED, r"scale_by_multipliers\(\.\.\.\), optax\.scale_by_zoom_linesearch"),
    (optax.lbfgs(), FROZEN, r"scale_by_multipliers\(\.\.\.\), optax\.scale_by_zoom_linesearch"),
    (
        optax.chain(optax.sgd(0.1), optax.scale_by_backtracking_linesearch(5)),
        MOVING,
        r"scale_by_multipliers\(\.\.\.\), optax\.scale_by_backtracking_linesearch",
    ),
    (optax.chain(optax.sgd(0.1), optax.apply_every(2)), MOVING, r"optax\.apply_every"),
]
if hasattr(optax.contrib, "cocob"):
    REFUSED.append((optax.contrib.cocob(), SCALED, r"optax\.partition"))
if hasattr(optax.contrib, "madgrad"):  # Optax 0.2.4 has none
    REFUSED.append((optax.contrib.madgrad(0.1), SCALED, r"optax\.partition"))
LIMITS: list[Any] = [
    optax.keep_params_nonnegative(),
    optax.clip(0.01),
    optax.clip_by_global_norm(0.1),
    optax.clip_by_block_rms(0.1),
    optax.adaptive_grad_clip(0.1),
    optax.scale_by_trust_ratio(),
    optax.masked(optax.clip(0.1), {"low": True, "middle": False, "high": False}),
]


@pytest.mark.parametrize(("optimizer", "rules", "way_out"), REFUSED)
def test_what_goes_on_after_its_update_is_refused(optimizer: Any, rules: Any, way_out: str) -> None:
    params = make_params()
    with pytest.raises(OptimizerError, match=rf"inside of .*not around it: .*{way_out}"):
        with_multipliers(optimizer, rules).init(params)


def test_a_state_that_was_made_elsewhere_is_refused_too() -> None:
    """A restored state comes without a call of init."""
    params = make_params()
    optimizer = optax.chain(optax.sgd(0.1), optax.apply_every(2))
    state = with_multipliers(optimizer, SCALED).init(params)
    with pytest.raises(OptimizerError, match=r"not around it.*apply_every"):
        with_multipliers(optimizer, MOVING).update(params, state, params)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    "chain",
    [
        optax.chain,
        lambda *links: optax.named_chain(*((str(i), link) for i, link in enumerate(links))),
    ],
)
def test_what_limits_the_scaled_update_is_refused(limit: Any, chain: Any) -> None:
    params = make_params()
    optimizer = chain(optax.sgd(0.1), limit)
    for rules in (SCALED, MOVING):
        with pytest.raises(
            OptimizerError, match=r"before optax\.\w+, not around.*chain\(with_mult"
        ):
            with_multipliers(optimizer, rules).init(params)
    with_multipliers(optimizer, FROZEN).init(params)
    with_multipliers(optimizer, {}).init(params)
    with_multipliers(chain(limit, optax.sgd(0.1)), SCALED).init(params)
    right = optax.chain(with_multipliers(optax.sgd(0.1), SCALED), limit)
    assert right.init(params)


CLIPPED = optax.chain(optax.sgd(0.1), optax.clip(0.01))
PARTS = {"low": "a", "middle": "b", "high": "b"}


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.apply_if_finite(CLIPPED, 3),
        optax.masked(CLIPPED, {"low": True, "middle": True, "high": False}),
        optax.partition({"a": optax.sgd(0.1), "b": CLIPPED}, PARTS),
        optax.chain(
            optax.sgd(0.1), optax.partition({"a": optax.clip(0.1), "b": optax.identity()}, PARTS)
        ),
        optax.inject_hyperparams(lambda rate: optax.chain(optax.sgd(rate), optax.clip(0.1)))(
            rate=0.1
        ),
        optax.inject_hyperparams(lambda rate: optax.chain(optax.sgd(rate), optax.clip(0.1)))(
            rate=cosine(10)
        ),
        optax.chain(optax.inject_hyperparams(optax.adam)(learning_rate=0.1), optax.clip(0.1)),
    ],
)
def test_a_limit_is_found_wherever_it_is(optimizer: Any) -> None:
    with pytest.raises(OptimizerError, match=r"before optax\.clip, not around"):
        with_multipliers(optimizer, SCALED).init(make_params())


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.inject_hyperparams(lambda rate: optax.chain(optax.clip(0.1), optax.sgd(rate)))(
            rate=0.1
        ),
        optax.partition(
            {"a": optax.chain(optax.clip(1.0), optax.adam(0.1)), "b": optax.sgd(0.1)}, PARTS
        ),
        optax.lars(0.1),
        optax.lamb(0.1),
        optax.adafactor(0.1),
        optax.sign_sgd(0.1),
        optax.chain(optax.sgd(0.1), optax.zero_nans()),
        optax.chain(optax.clip(1.0), optax.scale_by_adam()),
    ],
)
def test_what_comes_before_the_rate_is_no_limit(optimizer: Any) -> None:
    with_multipliers(optimizer, SCALED).init(make_params())


@pytest.mark.parametrize("made_by", ["chain", "named_chain", "partition", "masked"])
def test_what_another_optax_keeps_elsewhere_is_not_looked_into(made_by: str) -> None:
    """Optax' closures are no interface: where they differ, training must go on all the same."""
    plain = optax.sgd(0.1)

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return plain.update(updates, state, params)

    update.__module__, update.__qualname__ = "optax.transforms", f"{made_by}.<locals>.update_fn"
    params = make_params()
    optimizer = with_multipliers(optax.GradientTransformation(plain.init, update), SCALED)
    other = with_multipliers(plain, SCALED)
    found = optimizer.update(params, optimizer.init(params), params)[0]
    assert bits(found) == bits(other.update(params, other.init(params), params)[0])


def test_the_way_out_of_a_limit_is_one_optimizer_for_each_label() -> None:
    positive = jax.tree.map(jnp.abs, make_params())
    keep = optax.keep_params_nonnegative
    mine = optax.chain(with_multipliers(optax.sgd(2.0), {"low": 0.25}), keep())
    theirs = labelled(
        lambda rate: optax.chain(optax.sgd(rate), keep()), {"low": 0.5, "middle": 2.0, "high": 2.0}
    )
    assert bits(train(mine, positive)[0]) == bits(train(theirs, positive)[0])
    assert min(float(leaf.min()) for leaf in jax.tree.leaves(train(mine, positive)[0])) >= 0


def test_the_way_out_of_a_line_search_freezes_bit_by_bit() -> None:
    params = make_params()
    optimizer = optax.chain(
        optax.scale_by_lbfgs(), optax.scale(-1.0), scale_by_multipliers(FROZEN), ZOOM
    )
    state, after = optimizer.init(params), params
    for _ in range(3):
        value, gradient = jax.value_and_grad(loss)(after)
        updates, state = optimizer.update(
            gradient, state, after, value=value, grad=gradient, value_fn=loss
        )
        after = optax.apply_updates(after, updates)
    assert bits(after["low"]) == bits(params["low"])
    assert loss(after) < loss(params)


def test_inside_of_sam_it_is_one_optimizer_for_each_label() -> None:
    rates = {"low": 0.05, "middle": 0.1, "high": 0.1}
    mine = optax.contrib.sam(with_multipliers(optax.sgd(0.1), SCALED), ADVERSARY)
    theirs = optax.contrib.sam(labelled(optax.sgd, rates), ADVERSARY)
    assert bits(train(mine, make_params(), 6)[0]) == bits(train(theirs, make_params(), 6)[0])


# --- functions of the user's ---------------------------------------------------------------------

FUNCTIONS: dict[str, tuple[Any, dict[str, Callable[..., Any]]]] = {
    "sophia": (optax.contrib.sophia(0.1, update_interval=1), {"obj_fn": loss}),
    "opaque SAM": (
        optax.contrib.sam(optax.sgd(0.1), ADVERSARY, opaque_mode=True),
        {"grad_fn": lambda params, step: jax.grad(loss)(params)},
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("freezer", [0, constant(0.0)])
def test_functions_of_the_users_see_the_whole_parameters(name: str, freezer: Any) -> None:
    """As if the frozen leaves were constants of the loss."""
    optimizer, functions = FUNCTIONS[name]
    params = make_params()
    mine = with_multipliers(optimizer, {"low": freezer})
    state, after = mine.init(params), params
    rest = without_low(params)
    whole = lambda part: params | part  # noqa: E731
    theirs = optimizer.init(rest)
    alone = {
        "obj_fn": lambda part: loss(whole(part)),
        "grad_fn": lambda part, step: without_low(jax.grad(loss)(whole(part))),
    }
    for _ in range(3):
        gradient = jax.grad(loss)(after)
        updates, state = mine.update(gradient, state, after, **functions)
        after = optax.apply_updates(after, updates)
        updates, theirs = optimizer.update(
            without_low(gradient), theirs, rest, **{key: alone[key] for key in functions}
        )
        rest = optax.apply_updates(rest, updates)
    assert bits(after["low"]) == bits(params["low"])
    if freezer == 0:
        for a, b in zip(jax.tree.leaves(without_low(after)), jax.tree.leaves(rest), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_function_that_returns_gradients_and_more() -> None:
    """What is built like the parameters comes back without what is frozen; all else as it is."""
    seen: list[Any] = []

    def update(updates: Any, state: Any, params: Any, *, both: Any) -> Any:
        value, gradient = both(params, scale=2.0)
        seen.append((value, jax.tree.structure(gradient)))
        return jax.tree.map(lambda u, g: u + g, updates, gradient), state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    optimizer = with_multipliers(inner, FROZEN)
    params = make_params()

    def both(params: Any, scale: float) -> Any:
        assert len(jax.tree.leaves(params)) == 6
        return scale, jax.tree.map(lambda leaf: scale * leaf, params)

    updates, _ = optimizer.update(params, optimizer.init(params), params, both=both)
    assert bits(updates["high"]) == bits(jax.tree.map(lambda leaf: 3 * leaf, params["high"]))
    assert seen[0][0] == 2.0


# --- what the optimizer is handed ----------------------------------------------------------------


def test_a_tree_of_the_users_stays_whole() -> None:
    """As in optax.masked; the norm of all of it may be what is wanted."""
    seen: list[Any] = []

    def update(updates: Any, state: Any, params: Any = None, *, anchor: Any, grad: Any) -> Any:
        seen.append((len(jax.tree.leaves(anchor)), len(jax.tree.leaves(grad))))
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    params = make_params()
    optimizer = with_multipliers(inner, FROZEN)
    optimizer.update(params, optimizer.init(params), params, anchor=params, grad=params)
    assert seen == [(6, 4)]


def by_flat_names(params: Any) -> Any:
    flat = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict({path: leaf.ndim > 1 for path, leaf in flat.items()})


def by_leaves(params: Any) -> Any:
    is_layer = lambda node: isinstance(node, dict) and "kernel" in node  # noqa: E731
    return jax.tree.map(
        lambda layer: {"kernel": layer["kernel"].size > 3, "bias": layer["bias"].size > 3},
        params,
        is_leaf=is_layer,
    )


@pytest.mark.parametrize(
    "mask",
    [by_flat_names, by_leaves, lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)],
)
@pytest.mark.parametrize("freezer", [0, constant(0.0)])
def test_a_mask_that_looks_at_the_leaves_sees_leaves(mask: Any, freezer: Any) -> None:
    params = make_params()
    params["low"]["kernel"] = params["low"]["kernel"].at[0].set(-0.0)
    plain = optax.adamw(0.1, weight_decay=0.5, mask=mask)
    mine = with_multipliers(plain, {"low": freezer, "high": 0.5})
    first = mine.init(params)
    after, state = train(mine, params, gradients=broken, state=first)
    other = labelled(
        lambda rate: optax.adamw(
            rate, weight_decay=0.5, mask=lambda p: jax.tree.map(lambda leaf: leaf.ndim > 1, p)
        ),
        {"low": 0.0, "middle": 0.1, "high": 0.05},
    )
    assert bits(after["low"]) == bits(params["low"])
    assert bits(without_low(after)) == bits(without_low(train(other, params)[0]))
    compiled, _ = jax.jit(mine.update)(make_gradients(0), first, params)
    assert jax.tree.structure(compiled) == jax.tree.structure(params)
    mu = state.inner_state[0].mu["low"]
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(mu))


def private() -> Any:
    aggregate = optax.contrib.differentially_private_aggregate(1.0, 0.0, key=jax.random.key(0))
    return optax.chain(aggregate, optax.sgd(0.1))


@pytest.mark.parametrize("rules", [FROZEN, SCALED, {"low": constant(0.0)}, {"low": cosine(5)}])
@pytest.mark.parametrize("given", [True, False])
def test_updates_have_the_shapes_of_the_parameters_whatever_the_gradients_have(
    rules: Any, given: bool
) -> None:
    """One gradient for each example, as private training needs them."""
    params = make_params()
    optimizer = with_multipliers(private(), rules)
    state = optimizer.init(params)
    for _ in range(2):
        gradients = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), params)
        updates, state = optimizer.update(gradients, state, params if given else None)
        assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
    alone = private()
    if rules is FROZEN:
        rest = without_low(params)
        gradients = jax.tree.map(lambda leaf: jnp.stack([leaf] * 8), rest)
        theirs, _ = alone.update(gradients, alone.init(rest), rest)
        assert bits(without_low(updates)) == bits(theirs)


# --- frozen for what is around -------------------------------------------------------------------


@pytest.mark.parametrize("freezer", [0, constant(0.0)])
def test_clipping_inside_sees_no_frozen_gradient(freezer: Any) -> None:
    inside = optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))
    mine, _ = train(with_multipliers(inside, {"low": freezer}), make_params(), gradients=broken)
    alone, _ = train(
        inside, without_low(make_params()), gradients=lambda s: without_low(make_gradients(s))
    )
    assert bits(without_low(mine)) == bits(alone)


@pytest.mark.parametrize(
    "around",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(0.1), tx),
        lambda tx: optax.apply_if_finite(tx, 10),
        lambda tx: optax.MultiSteps(
            tx, 1, should_skip_update_fn=optax.skip_not_finite
        ).gradient_transformation(),
    ],
    ids=["clip_by_global_norm", "apply_if_finite", "skip_not_finite"],
)
def test_what_is_around_sees_it_and_the_line_that_prevents_it(around: Any) -> None:
    frozen = with_multipliers(optax.adam(0.1), FROZEN)
    start = make_params()
    after, _ = train(around(frozen), start, gradients=broken)
    trained = bits(without_low(after)) != bits(without_low(start))
    assert not trained or any(np.isnan(leaf).any() for leaf in jax.tree.leaves(after))
    drop = optax.masked(optax.set_to_zero(), {"low": True, "middle": False, "high": False})
    after, _ = train(optax.chain(drop, around(frozen)), start, gradients=broken)
    alone, _ = train(
        around(optax.adam(0.1)),
        without_low(start),
        gradients=lambda s: without_low(make_gradients(s)),
    )
    for a, b in zip(jax.tree.leaves(without_low(after)), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert bits(after["low"]) == bits(start["low"])


# Versions of Optax differ in what they have.
FROM_THE_FIRST = [
    getattr(optax.contrib, name)(0.01)
    for name in ("acprop", "adopt", "galore")
    if hasattr(optax.contrib, name)
]


@pytest.mark.parametrize("optimizer", FROM_THE_FIRST)
def test_what_begins_with_the_first_gradient_thaws_nothing_later(optimizer: Any) -> None:
    params = make_params()
    thawing = {"low": piecewise_constant([3], [0.0, 0.1])}
    for around in (optimizer, optax.chain(optax.clip(1.0), optimizer)):
        with pytest.raises(OptimizerError, match=r"^A layer can't be thawed later under optax\."):
            with_multipliers(around, thawing).init(params)
        for rules in (FROZEN, SCALED, {"low": linear(10)}, {"low": cosine(10, end=0.1)}):
            with_multipliers(around, rules).init(params)
    with_multipliers(optax.adam(0.01), thawing).init(params)
