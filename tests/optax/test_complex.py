"""Complex parameters, under which Optax keeps even the learning rate as a complex number."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise.optax import find_lr, find_rates, learning_rates, with_multipliers

PARAMS = {"body": jnp.ones(2, jnp.complex64), "head": jnp.ones(2, jnp.complex64)}
BATCHES = list(np.random.default_rng(0).normal(size=(12, 8, 2)).astype("float32"))
injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)


def loss_fn(params: Any, batch: Any) -> jax.Array:
    return jnp.mean(jnp.abs(batch * params["body"] * params["head"] - 2.0 * batch) ** 2)


def test_the_rates_of_a_complex_state_are_real() -> None:
    optimizer = with_multipliers(injected, {"body": 0.5})
    state: Any = optimizer.init(PARAMS)
    for _ in range(2):
        assert learning_rates(state, PARAMS) == {"body": 0.25, "head": 0.5}
        _, state = optimizer.update(PARAMS, state, PARAMS)
    assert jnp.iscomplexobj(state.inner_state.hyperparams["learning_rate"])


@pytest.mark.parametrize("search", [find_lr, find_rates])
def test_a_rate_in_a_complex_state_is_searched_as_any_other(search: Any) -> None:
    options = {"steps": 30} if search is find_lr else {"budget": 300, "layers": ["body", "head"]}
    given = (loss_fn, PARAMS, BATCHES)
    theirs, own = (search(*given, o, progress=False, **options) for o in (injected, optax.sgd))
    shown = "suggestion" if search is find_lr else "learning_rate"
    assert getattr(theirs, shown) == pytest.approx(getattr(own, shown), rel=1e-3)
