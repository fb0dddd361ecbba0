"""States and rules move on: an error that says the way out, and carry_state, which is it."""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization

from layerwise import layer_decay, linear, warmup
from layerwise.errors import LayerwiseError, OptimizerError
from layerwise.optax import carry_state, learning_rates, scale_by_multipliers, with_multipliers
from tests._support.optax.trees import bits, make_gradients, make_params, state_of, train

PROBING = {"low": 0, "middle": 0}
TUNING = {"low": 0.1, "middle": 0.3}
MOMENTS: dict[str, Any] = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "adamw": lambda: optax.adamw(0.01),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.01)),
    "named": lambda: optax.named_chain(("m", optax.scale_by_lion()), ("r", optax.scale(-0.1))),
    "injected": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.01),
    "labels": lambda: optax.partition(
        {"m": optax.adam(0.01), "v": optax.sgd(0.1, momentum=0.9)},
        lambda tree: jax.tree.map(lambda x: "m" if x.ndim == 2 else "v", tree),
    ),
}


def after(optimizer: Any, steps: int = 3) -> Any:
    return train(optimizer, make_params(), steps)[1]


def misplaced(state: Any, rules: Any = TUNING, make: Any = MOMENTS["adamw"]) -> Any:
    optimizer = with_multipliers(make(), rules)
    params = make_params()
    return optimizer.update(make_gradients(0), state, params)


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOMENTS)
def test_a_state_of_other_rules(name: str) -> None:
    make = MOMENTS[name]
    for old, new, was in ((PROBING, TUNING, "frozen"), (TUNING, PROBING, "trained")):
        state = after(with_multipliers(make(), old))
        with pytest.raises(OptimizerError, match=rf"'low/\w+' was {was} then.*carry_state"):
            misplaced(state, new, make)
        with pytest.raises(OptimizerError, match="carry_state"):
            jax.jit(with_multipliers(make(), new).update)(make_params(), state, make_params())


def test_numbers_may_change_without_a_word() -> None:
    """Nothing of the state depends on them: to resume with other multipliers needs no call."""
    state = after(with_multipliers(optax.adam(0.01), {"low": 0.5, "high": 2.0}))
    optimizer = with_multipliers(optax.adam(0.01), {"low": 0.25})
    _, state = optimizer.update(make_gradients(3), state, make_params())
    assert learning_rates(state, make_params(), learning_rate=1.0)["low/bias"] == 0.25


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (lambda: after(optax.adamw(0.01)), r"is a tuple.*plain one.*carry_state"),
        (lambda: serialization.to_state_dict(_tuned()), r"is a dict.*from_state_dict.*carry_state"),
        (lambda: list(_tuned()), r"is a list.*carry_state"),
        (lambda: None, r"is a NoneType.*carry_state"),
        (lambda: after(with_multipliers(optax.sgd(0.1, momentum=0.9), TUNING)), r"it lacks '0/"),
    ],
)
def test_a_state_that_is_none_of_ours(state: Any, message: str) -> None:
    with pytest.raises(OptimizerError, match=message):
        misplaced(state())


def _tuned() -> Any:
    return after(with_multipliers(optax.adamw(0.01), TUNING))


def test_inside_of_others_and_in_a_chain() -> None:
    plain = after(optax.MultiSteps(optax.adamw(0.01), 1))
    with pytest.raises(OptimizerError, match="carry_state"):
        optax.MultiSteps(with_multipliers(optax.adamw(0.01), TUNING), 1).update(
            make_gradients(0), plain, make_params()
        )
    chain = optax.chain(optax.adam(0.01), scale_by_multipliers(TUNING))
    adam, multipliers = after(chain)
    with pytest.raises(OptimizerError, match=r"is a dict, and must be a MultipliersState"):
        chain.update(make_params(), (adam, multipliers._asdict()), make_params())


def test_an_error_of_the_optimizers_own_stays_what_it_is() -> None:
    def update(updates: Any, state: Any, params: Any = None) -> Any:
        raise KeyError("of the user's")

    own = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    for rules in (TUNING, PROBING):
        optimizer = with_multipliers(own, rules)
        state = optimizer.init(make_params())
        with pytest.raises(KeyError, match="of the user's"):
            optimizer.update(make_params(), state, make_params())


# --- the way out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOMENTS)
def test_linear_probing_then_fine_tuning(name: str) -> None:
    """What was trained goes on with its moments, what was frozen starts with none."""
    make, params = MOMENTS[name], make_params()
    probing, tuning = (with_multipliers(make(), rules) for rules in (PROBING, TUNING))
    old = after(probing)
    step = None if name not in ("momentum", "named") else 3
    new = carry_state(tuning, params, old, step=step)
    assert jax.tree.structure(new) == jax.tree.structure(tuning.init(params))
    assert int(new.multipliers.count) == 3
    assert bits(state_of(new, "high")) == bits(state_of(old, "high"))
    assert bits(state_of(new, "low")) == bits(state_of(tuning.init(params), "low"))
    trained, _ = train(tuning, params, 2, state=new, start=3)
    alone, _ = train(probing, params, 2, state=old, start=3)
    if name != "clipped":  # whose norm is that of all leaves that train
        assert bits(trained["high"]) == bits(alone["high"])
    assert bits(trained["low"]) != bits(params["low"])
    back = carry_state(probing, params, new, step=step)
    assert bits(back) == bits(old)


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize(
    "written",
    [
        serialization.to_state_dict,
        lambda state: pickle.loads(pickle.dumps(serialization.to_state_dict(state))),
        lambda state: jax.tree.map(np.asarray, state),
    ],
)
def test_a_state_that_lost_its_classes(name: str, written: Any) -> None:
    optimizer = with_multipliers(MOMENTS[name](), {"low": 0, "high": 0.5})
    state = after(optimizer)
    carried = carry_state(optimizer, make_params(), written(state))
    assert jax.tree.structure(carried) == jax.tree.structure(state)
    assert bits(carried) == bits(state)


@pytest.mark.parametrize("name", ["adamw", "clipped", "injected"])
def test_from_a_plain_optimizer_and_back(name: str) -> None:
    """Without multipliers that move it goes on bit by bit."""
    make, params = MOMENTS[name], make_params()
    whole, _ = train(with_multipliers(make(), TUNING), params, 5)
    optimizer = with_multipliers(make(), TUNING)
    carried = carry_state(optimizer, params, after(make()))
    assert int(carried.multipliers.count) == 3
    mine, _ = train(optimizer, train(optimizer, params, 3)[0], 2, state=carried, start=3)
    assert bits(mine) == bits(whole)
    assert bits(carry_state(make(), params, carried)) == bits(after(make()))


def test_inside_of_wrappers() -> None:
    params = make_params()
    wrap = lambda rules: optax.MultiSteps(  # noqa: E731
        optax.apply_if_finite(with_multipliers(optax.adam(0.01), rules), 3), 2
    )
    old = after(wrap(PROBING), 4)
    new = carry_state(wrap(TUNING), params, old)
    assert int(new.gradient_step) == 2
    assert int(new.inner_opt_state.inner_state.multipliers.count) == 2
    assert bits(state_of(new.inner_opt_state, "high")) == bits(
        state_of(old.inner_opt_state, "high")
    )


def test_the_step_of_schedules() -> None:
    params = make_params()
    moving = with_multipliers(optax.adam(0.01), {"low": warmup(10)})
    old = after(with_multipliers(optax.adam(0.01), {"low": 0}))
    assert int(carry_state(moving, params, old).multipliers.count) == 3
    again = carry_state(moving, params, old, step=0)
    assert int(again.multipliers.count) == 0
    assert int(again.inner_state[0].count) == 3
    silent = after(optax.sgd(0.1, momentum=0.9))
    momentum = with_multipliers(optax.sgd(0.1, momentum=0.9), {"low": warmup(10)})
    with pytest.raises(OptimizerError, match=r"how many updates.*step="):
        carry_state(momentum, params, silent)
    assert int(carry_state(momentum, params, silent, step=7).multipliers.count) == 7
    with pytest.raises(OptimizerError, match="step must be a whole number"):
        carry_state(momentum, params, silent, step=-1)


def test_the_rates_of_the_update_before_are_in_it() -> None:
    """As if the rules had been there before; the same rules give the same state, bit for bit."""
    params = make_params()
    inner = with_multipliers(optax.adam(0.01), {"low": warmup(10)}, schedule=linear(20))
    for moving in (
        with_multipliers(inner, {"high": linear(30)}),
        optax.chain(inner, scale_by_multipliers({"high": linear(30)})),
    ):
        old = after(moving, 7)
        assert bits(carry_state(moving, params, old)) == bits(old)
    gathering = optax.MultiSteps(inner, 2)  # which compiles its update, and so rounds otherwise
    old = after(gathering, 7)
    expected = learning_rates(old, params, learning_rate=1.0)
    found = learning_rates(carry_state(gathering, params, old), params, learning_rate=1.0)
    assert found == pytest.approx(expected, rel=1e-6)
    plain = after(optax.adam(0.01), 7)
    state = carry_state(inner, params, plain)
    found = learning_rates(state, params, learning_rate=1.0)
    assert found["low/bias"] == pytest.approx(0.6 * 0.7)
    assert found["high/bias"] == pytest.approx(0.7)
    compiled = optax.GradientTransformationExtraArgs(jax.jit(inner.init), inner.update)
    compiled.init(params)  # traced for the first step
    assert bits(carry_state(compiled, params, plain)) == bits(state)
    again = learning_rates(carry_state(inner, params, plain, step=0), params, learning_rate=1.0)
    assert (again["low/bias"], again["high/bias"]) == (0.0, 1.0)


def test_a_state_whose_memory_is_gone_says_so() -> None:
    optimizer, params = with_multipliers(optax.adam(0.01), TUNING), make_params()
    state = after(optimizer)
    for leaf in jax.tree.leaves(state):
        leaf.delete()
    with pytest.raises(OptimizerError, match=r"memory of this state is gone.*donate_argnums"):
        carry_state(optimizer, params, state)
    with pytest.raises(OptimizerError, match=r"memory of this state is gone.*donate_argnums"):
        learning_rates(state, params, learning_rate=1.0)


def test_hyperparameters_are_those_of_the_new_optimizer() -> None:
    make = lambda rate, rules: with_multipliers(  # noqa: E731
        optax.inject_hyperparams(optax.adam)(learning_rate=rate), rules
    )
    params = make_params()
    state = carry_state(make(1e-5, TUNING), params, after(make(1e-2, PROBING)))
    assert learning_rates(state, params)["high/bias"] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (lambda: after(optax.sgd(0.1, momentum=0.9)), r"no '0/count', which this optimizer needs"),
        (
            lambda: train(
                optax.adamw(0.01),
                make_params() | {"extra": jnp.ones(2)},
                1,
                lambda s: make_params() | {"extra": jnp.ones(2)},
            )[1],
            r"has '0/mu/extra', for which this optimizer has no place",
        ),
        (lambda: after(with_multipliers(optax.amsgrad(0.01))), r"has '0/nu_max/"),
        (lambda: jax.tree.map(lambda x: jnp.stack([x, x]), after(optax.adamw(0.01))), "the shape"),
    ],
)
def test_what_does_not_fit_is_named(old: Any, message: str) -> None:
    optimizer, params = with_multipliers(optax.adamw(0.01), TUNING), make_params()
    with pytest.raises(LayerwiseError, match=message):
        carry_state(optimizer, params, old(), step=3)
    loose = carry_state(optimizer, params, old(), step=3, strict=False)
    assert jax.tree.structure(loose) == jax.tree.structure(optimizer.init(params))
    train(optimizer, params, 1, state=loose)


def test_moments_never_go_to_another_weight() -> None:
    """Of the same shape, in the same place of the order, but of another name."""
    params = {"a": jnp.ones(2), "head": jnp.ones(2)}
    renamed = {"b": jnp.ones(2), "head": jnp.ones(2)}
    plain = optax.sgd(0.1, momentum=0.9)
    _, state = plain.update(params, plain.init(params), params)
    optimizer = with_multipliers(plain, layer_decay(0.5))
    with pytest.raises(OptimizerError, match="'0/trace/a'"):
        carry_state(optimizer, renamed, state, step=1)
    loose = carry_state(optimizer, renamed, state, step=1, strict=False)
    assert loose.inner_state[0].trace["b"].tolist() == [0.0, 0.0]
    assert loose.inner_state[0].trace["head"].tolist() == [1.0, 1.0]
