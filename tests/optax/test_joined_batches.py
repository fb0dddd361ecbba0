"""find_rates on Optax with batches of JAX arrays: joined where taking examples costs little."""

from typing import Any

import jax.numpy as jnp
import optax
import pytest

from layerwise.optax import find_rates
from tests.optax.test_find_rates import QUIET, loss_fn, make_batches, make_params


def answer(batches: Any, loss: Any = loss_fn, **options: Any) -> Any:
    found = find_rates(loss, make_params(), batches, optax.adam, **QUIET, **options)
    return found.learning_rate, found.rules, [(p.score, p.train_loss) for p in found.probes]


def on_device(batches: Any) -> list[Any]:
    return [tuple(map(jnp.asarray, batch)) for batch in batches]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was taken from JAX arrays outside of compiled functions."""
    found = []
    implementation: Any = type(jnp.zeros(1))
    take = implementation.__getitem__

    def noted(array: Any, places: Any) -> Any:
        found.append(places)
        return take(array, places)

    monkeypatch.setattr(implementation, "__getitem__", noted)
    return found


def test_the_answer_is_that_of_numpy_arrays_to_the_last_bit() -> None:
    on_host = [(x, y.astype("int32")) for x, y in make_batches()]
    mixed = on_device(on_host[:1]) + on_host[1:]
    assert answer(on_host) == answer(on_device(on_host)) == answer(mixed)


def test_a_compiled_step_takes_examples_on_the_host(taken: list[Any]) -> None:
    """JAX takes rows of an array much more slowly than NumPy where nothing is compiled."""
    answer(on_device(make_batches()))
    assert len(taken) < 10


def test_a_step_that_is_not_compiled_gets_arrays_of_jax(taken: list[Any]) -> None:
    def in_place(params: Any, batch: Any) -> Any:
        x, y = batch
        return loss_fn(params, (x.at[0].set(0.0), y))

    assert answer(on_device(make_batches()), in_place, jit=False)[0]
    assert len(taken) > 100


def test_a_weak_type_stays_weak() -> None:
    """A weakly typed float32 times a bfloat16 is a bfloat16, a strongly typed one a float32."""
    batches = [(x, y, jnp.full(len(x), 1.0)) for x, y in make_batches()]
    weak = []

    def weighted(params: Any, batch: Any) -> Any:
        x, y, weights = batch
        weak.append(weights.weak_type)
        return loss_fn(params, (x, y)) * weights.mean()

    answer(batches, weighted)
    assert set(weak) == {True}
