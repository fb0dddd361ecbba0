"""What a search is given: an array that is none, or whose memory is gone, is named."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from layerwise.errors import FinderError, ScheduleError
from layerwise.optax import find_lr, find_rates
from tests._support.optax.trees import bits

LR: dict[str, Any] = {"steps": 12, "progress": False}
RATES: dict[str, Any] = {"budget": 200, "progress": False, "layers": ["body", "head"]}


def make_params() -> Any:
    random = np.random.default_rng(0)
    return {
        "body": jnp.asarray(random.normal(size=(4, 3)) / 2, jnp.float32),
        "head": jnp.asarray(random.normal(size=(3, 1)) / 2, jnp.float32),
    }


def make_batches(*more: Any) -> list[Any]:
    inputs = np.random.default_rng(1).normal(size=(8, 16, 4)).astype("float32")
    return [(x, x[:, :1], *more) for x in inputs]


def loss_fn(params: Any, batch: Any) -> Any:
    return jnp.mean((jnp.tanh(batch[0] @ params["body"]) @ params["head"] - batch[1]) ** 2)


def with_extra(params: Any, extra: Any, batch: Any) -> Any:
    return loss_fn(params, batch), extra


def lr(*given: Any, **options: Any) -> Any:
    return find_lr(*given, **LR, **options)


def rates(*given: Any, **options: Any) -> Any:
    return find_rates(*given, **RATES, **options)


def donated(tree: Any) -> Any:
    """A copy whose memory is gone, as after a call with ``donate_argnums``."""
    copy = jax.tree.map(jnp.copy, tree)
    for leaf in jax.tree.leaves(copy):
        leaf.delete()
    return copy


both = pytest.mark.parametrize("search", [lr, rates])


@both
@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        ("mini", r"A batch has something of the type str \('mini'\) at '2'"),
        ({"names": ["a"] * 16}, r"A batch has something of the type str \('a'\) at '2/names/0'"),
        (np.array(["a"] * 16), "A batch has an array of <U1 at '2'"),
        (np.array([None] * 16), "A batch has an array of object at '2'"),
    ],
)
def test_what_is_no_array_is_named(search: Callable[..., Any], leaf: Any, message: str) -> None:
    with pytest.raises(FinderError, match=rf"{message}, and a compiled step.*or give jit=False"):
        search(loss_fn, make_params(), make_batches(leaf), optax.adam)


@both
def test_a_batch_or_an_extra_that_is_none_is_named(search: Callable[..., Any]) -> None:
    with pytest.raises(FinderError, match=r"A batch is something of the type str \('mini'\)"):
        search(loss_fn, make_params(), ["mini"] * 8, optax.adam)
    with pytest.raises(FinderError, match=r"extra= has something of the type str .* at 'mode'"):
        search(with_extra, make_params(), make_batches(), optax.adam, extra={"mode": "train"})


def test_what_is_not_compiled_takes_anything() -> None:
    expected = lr(loss_fn, make_params(), make_batches(), optax.adam)
    found = lr(loss_fn, make_params(), make_batches("mini"), optax.adam, jit=False)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)


@both
def test_an_error_of_the_loss_function_stays_what_it_is(search: Callable[..., Any]) -> None:
    def broken(params: Any, batch: Any) -> Any:
        raise TypeError("of my own")

    with pytest.raises(TypeError, match="of my own"):
        search(broken, make_params(), make_batches(), optax.adam)


def test_a_schedule_error_of_the_optimizers_own_stays_what_it_is() -> None:
    message = "the count of all updates before this one is odd"

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        raise ScheduleError(message)

    odd = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    with pytest.raises(ScheduleError, match=message):
        lr(loss_fn, make_params(), make_batches(), lambda rate: odd)


@both
@pytest.mark.parametrize("jit", [True, False])
def test_what_was_donated_is_named(search: Callable[..., Any], jit: bool) -> None:
    params, batches = make_params(), make_batches()
    gone, state = donated(params), donated(optax.adam(1.0).init(params))
    with pytest.raises(FinderError, match=r"params= has an array at 'body', whose memory is gone"):
        search(loss_fn, gone, batches, optax.adam, jit=jit)
    with pytest.raises(FinderError, match=r"state= has an array at '0/count', whose memory is"):
        search(loss_fn, params, batches, optax.adam, state=state, jit=jit)
    with pytest.raises(FinderError, match=r"extra= is an array, whose memory is gone"):
        search(with_extra, params, batches, optax.adam, extra=donated(jnp.ones(2)), jit=jit)
    with pytest.raises(FinderError, match=r"batch.* has an array at '\d', whose memory is gone"):
        search(loss_fn, params, jax.tree.map(donated, batches), optax.adam, jit=jit)
    assert bits(params) == bits(make_params())


@pytest.mark.skipif(not hasattr(jnp.ones(1), "committed"), reason="this JAX doesn't tell")
def test_on_the_host_what_was_put_nowhere_stays_free() -> None:
    """A count that no device was named for goes where parameters on a mesh are."""
    device, seen = jax.devices()[0], set()
    params = jax.device_put(make_params(), device)
    state = optax.adam(1.0).init(make_params())

    def own(params: Any, state: Any, batch: Any, rate: Any) -> Any:
        seen.add((params["body"].committed, state[0].count.committed))
        gradients = jax.grad(loss_fn)(params, batch)
        updates, _ = optax.adam(rate).update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss_fn(params, batch)

    find_lr(None, params, make_batches(), update=own, state=state, jit=False, memory="host", **LR)
    assert seen == {(True, False)}


@pytest.mark.skipif(not hasattr(jax, "set_mesh"), reason="this JAX has no explicit meshes")
def test_examples_of_arrays_on_an_explicit_mesh() -> None:
    """JAX draws no single examples there, where the layout is a part of an array's type."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    split = NamedSharding(mesh, PartitionSpec("data"))
    batches = [tuple(jax.device_put(one, split) for one in batch) for batch in make_batches()]
    with jax.set_mesh(mesh):
        found = rates(loss_fn, make_params(), batches, optax.adam)
    expected = rates(loss_fn, make_params(), make_batches(), optax.adam)
    assert (found.learning_rate, found.rules) == (expected.learning_rate, expected.rules)
