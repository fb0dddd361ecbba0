"""find_lr and networks that change themselves: nothing is left in them, or it is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from layerwise.errors import FinderError, OptimizerError
from layerwise.optax import find_lr, with_multipliers
from tests._support.optax.trees import bits

QUIET: dict[str, Any] = {"steps": 12, "method": "sweep", "progress": False}
BATCHES = jnp.asarray(np.random.default_rng(0).normal(size=(6, 8, 2)), "float32")


class Net(nnx.Module):
    """With statistics, a dropout that draws, and a counter of its own."""

    def __init__(self, dropout: bool = True) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(2, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        if dropout:
            self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(4, 1, rngs=rngs)
        self.calls = nnx.Variable(jnp.zeros(()))

    def __call__(self, x: Any) -> Any:
        self.calls[...] = self.calls[...] + 1
        x = self.norm(self.first(x))
        return self.head(self.dropout(x) if hasattr(self, "dropout") else x)


def loss_of(model: Any, batch: Any) -> Any:
    return jnp.mean((model(batch) - batch.sum(-1, keepdims=True)) ** 2)


def arrays(model: Any) -> list[bytes]:
    return bits(
        [
            jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
            for leaf in jax.tree.leaves(nnx.state(model))
        ]
    )


@pytest.mark.parametrize("jit", [True, False])
def test_what_the_network_changes_goes_in_as_extra(jit: bool) -> None:
    """The recipe of the page; the same losses twice, and nothing has changed."""
    model = Net()
    graph, params, rest = nnx.split(model, nnx.Param, ...)

    def loss(params: Any, rest: Any, batch: Any) -> Any:
        model = nnx.merge(graph, params, rest)
        value = loss_of(model, batch)
        return value, nnx.state(model, nnx.Not(nnx.Param))

    make = lambda rate: with_multipliers(optax.sgd(rate), {"first": 0.5})  # noqa: E731
    before = arrays(model)
    found = [find_lr(loss, params, BATCHES, make, extra=rest, jit=jit, **QUIET) for _ in range(2)]
    assert arrays(model) == before
    assert list(found[0].losses) == list(found[1].losses)
    assert found[0].group_factors["first/bias"] == 0.5
    moved, _ = loss(params, rest, BATCHES[0])
    assert found[0].losses[0] == pytest.approx(float(moved), rel=1e-5)


def closes_over(model: Any) -> Any:
    def loss(params: Any, batch: Any) -> Any:
        nnx.update(model, params)
        return loss_of(model, batch)

    return loss


def merges_what_is_not_its_own(model: Any) -> Any:
    graph, _, rest = nnx.split(model, nnx.Param, ...)
    return lambda params, batch: loss_of(nnx.merge(graph, params, rest), batch)


@pytest.mark.parametrize("make", [closes_over, merges_what_is_not_its_own])
@pytest.mark.parametrize("jit", [True, False])
def test_changes_in_place_are_refused_and_leave_no_trace(make: Any, jit: bool) -> None:
    model = Net()
    params, before = nnx.state(model, nnx.Param), arrays(model)
    with pytest.raises(FinderError, match=r"changes variables of Flax' nnx.*nnx\.split.*extra="):
        find_lr(make(model), params, BATCHES, optax.sgd, jit=jit, **QUIET)
    assert arrays(model) == before


@pytest.mark.parametrize("dropout", [True, False])
def test_a_whole_module_is_no_tree_of_parameters(dropout: bool) -> None:
    model = Net(dropout)
    before = arrays(model)
    with pytest.raises(FinderError, match=r"nnx\.state\(model, nnx\.Param\)"):
        find_lr(loss_of, model, BATCHES, optax.sgd, **QUIET)
    assert arrays(model) == before


@pytest.mark.parametrize("jit", [True, False])
def test_an_update_that_trains_in_place(jit: bool) -> None:
    model = Net(dropout=False)
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    def update(params: Any, state: Any, batch: Any, rate: Any) -> Any:
        loss, gradients = nnx.value_and_grad(loss_of)(model, batch)
        optimizer.update(model, gradients)
        return params, state, loss

    params = nnx.state(model, nnx.Param)
    with pytest.raises(FinderError, match=r"nnx\.split\(model, nnx\.Param"):
        find_lr(None, params, BATCHES, update=update, jit=jit, **QUIET)


def test_whole_numbers_have_no_gradient() -> None:
    params = {"w": jnp.ones(2), "steps": jnp.zeros((), "int32")}
    with pytest.raises(FinderError, match=r"'steps' has the type int32.*extra="):
        find_lr(lambda p, b: jnp.sum(p["w"]), params, BATCHES, optax.sgd, **QUIET)


@pytest.mark.parametrize(
    ("loss", "batches", "message"),
    [
        (lambda params, x, y: 0.0, [(1.0, 2.0)], r"must take \(params, batch\).*a tuple of 2"),
        (lambda params: 0.0, [1.0], r"must take \(params, batch\)"),
        (lambda params, *, batch: 0.0, [{"x": 1.0}], r"a dict of 1: take it apart"),
    ],
)
def test_batches_that_the_function_can_not_take(loss: Any, batches: Any, message: str) -> None:
    with pytest.raises(FinderError, match=message):
        find_lr(loss, {"w": jnp.ones(2)}, batches * 20, optax.sgd, **QUIET)


def test_an_error_of_the_functions_own_stays_what_it_is() -> None:
    def loss(params: Any, batch: Any) -> Any:
        raise KeyError("of the user's")

    with pytest.raises(KeyError, match="of the user's"):
        find_lr(loss, {"w": jnp.ones(2)}, BATCHES, optax.sgd, **QUIET)
    with pytest.raises(OptimizerError, match="no array"):
        find_lr(loss, {"w": jnp.ones(2), "f": jnp.sin}, BATCHES, optax.sgd, **QUIET)
