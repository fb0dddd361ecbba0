"""find_lr on Optax: the right losses, compiled once, and no array changed."""

import math
import random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from layerwise import cosine, from_function
from layerwise.errors import FinderError
from layerwise.optax import find_lr, scale_by_multipliers, with_multipliers
from tests._support.optax.trees import bits

CALM: dict[str, Any] = {"low": 1e-3, "high": 0.1}  # at high rates rounding grows
QUIET: dict[str, Any] = {"steps": 12, "method": "sweep", "progress": False}
RULES = {"body": 0.5, "head": 2.0}


def make_params(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return {
        "body": jnp.asarray(rng.normal(size=(4, 6)) / 2, "float32"),
        "head": jnp.asarray(rng.normal(size=(6, 3)) / 2, "float32"),
    }


def make_batches(number: int = 8, samples: int = 16) -> list[Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(number, samples, 4)).astype("float32")
    return [(one, one[:, :3].argmax(1)) for one in x]


def loss_fn(params: Any, batch: Any) -> Any:
    x, y = batch
    logits = jnp.tanh(x @ params["body"]) @ params["head"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def by_hand(make: Any, rates: Any, batches: list[Any]) -> list[float]:
    """The losses of a loop that is written out, not compiled."""
    params = make_params()
    state = make(1.0).init(params)
    losses = []
    for number, rate in enumerate(rates):
        loss, gradients = jax.value_and_grad(loss_fn)(params, batches[number % len(batches)])
        updates, state = make(rate).update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    return losses


OPTIMIZERS: dict[str, Any] = {
    "sgd": optax.sgd,
    "adamw": optax.adamw,
    "chain": lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
    "with_multipliers": lambda rate: with_multipliers(optax.adamw(rate), RULES),
    "scale_by_multipliers": lambda rate: optax.chain(
        optax.sgd(rate, momentum=0.9), scale_by_multipliers(RULES)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_losses_are_those_of_a_loop_by_hand(name: str) -> None:
    make = OPTIMIZERS[name]
    params, batches = make_params(), make_batches()
    options = QUIET | {"low": 1e-3, "high": 0.3, "stop": "never"}
    found = find_lr(loss_fn, params, batches, make, **options)
    assert len(found.losses) == 12
    assert found.losses == pytest.approx(by_hand(make, found.rates, batches), rel=1e-6)
    assert found.losses[-1] < found.losses[0]
    expected = RULES if "multipliers" in name else {}
    assert found.group_factors == pytest.approx(expected)
    assert bits(params) == bits(make_params())


@pytest.mark.parametrize("name", ["adamw", "with_multipliers"])
def test_a_rate_in_the_state_gives_the_same(name: str) -> None:
    def make(rate: Any) -> Any:
        inner = optax.inject_hyperparams(optax.adamw)(learning_rate=rate)
        return with_multipliers(inner, RULES) if name == "with_multipliers" else inner

    params, batches = make_params(), make_batches()
    direct = find_lr(loss_fn, params, batches, OPTIMIZERS[name], **QUIET, **CALM)
    for optimizer in (make(3e-4), make):  # made already, or made by a function
        found = find_lr(loss_fn, params, batches, optimizer, **QUIET, **CALM)
        assert found.losses == pytest.approx(direct.losses, rel=1e-5)
        assert found.group_factors == direct.group_factors


@pytest.mark.parametrize("update", [False, True], ids=["loss", "update"])
def test_a_start_that_is_kept_on_the_host_gives_the_same(update: bool) -> None:
    params, batches, make = make_params() | {"key": jax.random.key(0)}, make_batches(), optax.adam
    kept = bits(make_params())

    def own(params: Any, state: Any, batch: Any, rate: Any) -> Any:
        key = params.pop("key")
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch)
        updates, state = make(rate).update(gradients, state, params)
        return optax.apply_updates(params, updates) | {"key": key}, state, loss

    def search(memory: str) -> Any:
        options = CALM | {"steps": 12, "progress": False, "memory": memory}
        state = make(1.0).init(make_params())
        if update:
            return find_lr(None, params, batches, update=own, state=state, **options)
        return find_lr(loss_fn, make_params(), batches, make, **options)

    assert search("host") == search("device")
    assert bits({name: params[name] for name in ("body", "head")}) == kept


def test_rates_in_the_state_keep_their_ratio() -> None:
    def make(rate: Any, sgd: Any = optax.sgd) -> Any:
        parts = {"body": sgd(learning_rate=rate / 4), "head": sgd(learning_rate=rate)}
        return optax.partition(parts, {"body": "body", "head": "head"})

    params, batches = make_params(), make_batches()
    injected = make(0.1, optax.inject_hyperparams(optax.sgd))
    found = find_lr(loss_fn, params, batches, injected, **QUIET, **CALM)
    assert found.losses == pytest.approx(by_hand(make, found.rates, batches), rel=1e-5)


def test_a_step_of_ones_own() -> None:
    params, batches = make_params(), make_batches()
    optimizer = optax.inject_hyperparams(optax.adamw)(learning_rate=1.0)

    def update(params: Any, state: Any, batch: Any, rate: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch)
        state.hyperparams["learning_rate"] = rate
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    theirs = find_lr(loss_fn, params, batches, optax.adamw, **QUIET, **CALM)
    state = optimizer.init(params)
    mine = find_lr(None, params, batches, update=update, state=state, **QUIET, **CALM)
    assert mine.losses == pytest.approx(theirs.losses, rel=1e-5)
    assert state.hyperparams["learning_rate"] == 1.0


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.filterwarnings("ignore:Some donated buffers were not usable")
def test_a_step_that_donates_takes_nothing_of_the_caller(jit: bool) -> None:
    params, batches = make_params(), make_batches()
    optimizer = optax.adam(1.0)

    @jax.jit
    def gradients_of(params: Any, batch: Any) -> Any:
        return jax.value_and_grad(loss_fn)(params, batch)

    def plain(params: Any, state: Any, batch: Any, rate: Any) -> Any:
        loss, gradients = gradients_of(params, batch)
        updates, state = optimizer.update(gradients, state, params)
        updates = jax.tree.map(lambda u: rate * u, updates)
        return optax.apply_updates(params, updates), state, loss

    update = jax.jit(plain, donate_argnums=(0, 1))
    state = optimizer.init(params)
    options = QUIET | {"method": "probe"}
    found = find_lr(None, params, batches, update=update, state=state, jit=jit, **options)
    assert bits(params) == bits(make_params())  # raises if its memory is gone
    assert not any(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(state))
    assert math.isfinite(found.losses[0])


def test_it_is_compiled_once_and_starts_from_a_state() -> None:
    traced = 0

    def counted(params: Any, batch: Any) -> Any:
        nonlocal traced
        traced += 1
        return loss_fn(params, batch)

    params, batches = make_params(), make_batches()
    state = optax.adam(0.1).init(params)
    for batch in batches[:3]:
        _, state = optax.adam(0.1).update(jax.grad(loss_fn)(params, batch), state, params)
    before = bits(state)
    first = find_lr(counted, params, batches, optax.adam, state=state, **QUIET)
    assert traced == 1
    again = find_lr(counted, params, batches, optax.adam, state=state, **QUIET)
    fresh = find_lr(counted, params, batches, optax.adam, **QUIET)
    assert first == again
    assert first.losses != fresh.losses
    assert bits(state) == before


def test_gathered_batches_are_one_point() -> None:
    params = make_params()
    small = make_batches(24, samples=8)
    large = [
        tuple(map(np.concatenate, zip(*small[i : i + 2], strict=True))) for i in range(0, 24, 2)
    ]

    def make(rate: Any) -> Any:
        return optax.MultiSteps(with_multipliers(optax.sgd(rate), RULES), 2)

    options = QUIET | {"low": 1e-2, "high": 1.0, "stop": "never"}
    found = find_lr(loss_fn, params, small, make, accumulate=2, **options)
    whole = find_lr(loss_fn, params, large, OPTIMIZERS["with_multipliers"], **options)
    sgd = find_lr(
        loss_fn, params, large, lambda r: with_multipliers(optax.sgd(r), RULES), **options
    )
    assert len(found.losses) == 12
    assert found.losses == pytest.approx(sgd.losses, rel=1e-5)
    assert found.group_factors == whole.group_factors == RULES


def test_what_the_network_keeps_beside_goes_along() -> None:
    def with_state(params: Any, extra: Any, batch: Any) -> Any:
        key, new = jax.random.split(extra["key"])
        keep = jax.random.bernoulli(key, 0.5, batch[0].shape)
        extra = {"key": new, "mean": 0.9 * extra["mean"] + 0.1 * batch[0].mean()}
        return loss_fn(params, (batch[0] * keep, batch[1])) + extra["mean"] ** 2, extra

    params, batches = make_params(), make_batches()
    extra = {"key": jax.random.key(3), "mean": jnp.float32(2.0)}
    found = find_lr(with_state, params, batches, optax.sgd, extra=extra, **QUIET)
    again = find_lr(with_state, params, batches, optax.sgd, extra=extra, **QUIET)
    assert found == again
    assert found.losses[0] > found.losses[8]  # the mean goes on from batch to batch
    assert extra["mean"] == 2.0
    aux = find_lr(
        lambda p, b: (loss_fn(p, b), "aux"), params, batches, optax.sgd, has_aux=True, **QUIET
    )
    assert aux == find_lr(loss_fn, params, batches, optax.sgd, **QUIET)


def test_flax_linen_and_nnx_and_equinox() -> None:
    import equinox as eqx
    import flax.linen as nn
    from flax import nnx

    batches = make_batches()

    def loss(logits: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    class Linen(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.BatchNorm(use_running_average=False)(nn.Dense(6, name="body")(x))
            return nn.Dense(3, name="head")(nn.tanh(x))

    linen = Linen()
    variables = linen.init(jax.random.key(0), batches[0][0])

    def of_linen(params: Any, stats: Any, batch: Any) -> Any:
        logits, new = linen.apply(
            {"params": params, "batch_stats": stats}, batch[0], mutable=["batch_stats"]
        )
        return loss(logits, batch[1]), new["batch_stats"]

    def make(rate: Any) -> Any:
        return with_multipliers(optax.adamw(rate), {"body": 0.1})

    found = find_lr(
        of_linen, variables["params"], batches, make, extra=variables["batch_stats"], **QUIET
    )
    assert found.group_factors["body/kernel"] == pytest.approx(0.1)

    model = nnx.Linear(4, 3, rngs=nnx.Rngs(0))
    graph, params = nnx.split(model, nnx.Param)
    theirs = find_lr(
        lambda params, batch: loss(nnx.merge(graph, params)(batch[0]), batch[1]),
        params,
        batches,
        optax.adamw,
        **QUIET,
    )
    kernel, bias = jnp.asarray(model.kernel[...]), jnp.asarray(model.bias[...])

    layer = eqx.nn.Linear(4, 3, key=jax.random.key(0))
    layer = eqx.tree_at(lambda one: (one.weight, one.bias), layer, (kernel.T, bias))
    weights, static = eqx.partition(layer, eqx.is_inexact_array)
    own = find_lr(
        lambda weights, batch: loss(jax.vmap(eqx.combine(weights, static))(batch[0]), batch[1]),
        weights,
        batches,
        optax.adamw,
        **QUIET,
    )
    assert own.losses == pytest.approx(theirs.losses, rel=1e-5)
    assert len(found.losses) == 12


def test_whatever_ends_it_leaves_random_states_as_they_were() -> None:
    def drawn(number: int = 5) -> Any:
        for x, y in make_batches(number):
            yield x + np.random.normal() * random.random(), y
        if number == 6:
            raise KeyboardInterrupt

    before = random.getstate(), np.random.get_state()[1].tolist()
    found = find_lr(loss_fn, make_params(), drawn(), optax.sgd, **QUIET)
    assert found.stopped == "data ended"
    assert len(found.losses) == 5
    with pytest.raises(KeyboardInterrupt):
        find_lr(loss_fn, make_params(), drawn(6), optax.sgd, **QUIET)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    nan = find_lr(lambda p, b: loss_fn(p, b) * jnp.nan, make_params(), drawn(), optax.sgd, **QUIET)
    assert nan.suggestion is None
    assert nan.stopped == "diverged"


def test_probes_find_a_rate_that_learns() -> None:
    params, batches = make_params(), make_batches()
    found = find_lr(loss_fn, params, batches, optax.adam, steps=60, progress=False)
    assert found.suggestion is not None
    assert found.updates > 60
    start = float(np.mean([float(loss_fn(params, batch)) for batch in batches]))
    losses = by_hand(optax.adam, [found.suggestion] * 80, batches)
    assert np.mean(losses[-8:]) < 0.6 * start


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("fixed inside it.*optax.adamw, or lambda", {"optimizer": optax.adamw(1e-3)}),
        (
            "is a schedule",
            {"optimizer": optax.inject_hyperparams(optax.sgd)(learning_rate=cosine(10))},
        ),
        ("are 0", {"optimizer": optax.inject_hyperparams(optax.sgd)(learning_rate=0.0)}),
        ("made a float", {"optimizer": lambda rate: 3.0}),
        ("is no Optax optimizer", {"optimizer": "adamw"}),
        ("either a loss function", {"loss_fn": None, "optimizer": None}),
        ("either a loss function", {"update": lambda *args: args}),
        ("loss_fn=3 must be a function", {"loss_fn": 3}),
        ("shape .16,.*take its mean", {"loss_fn": lambda p, b: (b[0] @ p["body"]).mean(1)}),
        ("needs has_aux", {"loss_fn": lambda p, b: (loss_fn(p, b), {})}),
        ("return two things", {"has_aux": True}),
        ("no parameters", {"params": {}}),
        ("no batch", {"batches": []}),
        ("batches=None", {"batches": None}),
        ("accumulate must be", {"accumulate": 0}),
        ("Put it into optax.MultiSteps", {"accumulate": 2}),
        (
            "no update after 1",
            {"optimizer": lambda rate: optax.MultiSteps(optax.sgd(rate), 3)},
        ),
        (
            "accumulate=9 must be at most",
            {
                "optimizer": lambda rate: optax.MultiSteps(optax.sgd(rate), 9),
                "accumulate": 9,
            },
        ),
        ("steps must be", {"steps": 3}),
        ("must be below high", {"low": 1.0, "high": 0.1}),
        ("low must be", {"low": -1.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_clear_error(match: str, changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "loss_fn": loss_fn,
        "params": make_params(),
        "batches": make_batches(),
        "optimizer": optax.adamw,
        "progress": False,
    } | changes
    with pytest.raises(FinderError, match=match):
        find_lr(**given)


def test_a_step_that_returns_something_else_is_refused() -> None:
    with pytest.raises(FinderError, match="params, state, loss"):
        find_lr(None, make_params(), make_batches(), update=lambda *args: 0.0, **QUIET)


def test_probes_have_the_shape_of_the_training() -> None:
    given: Any = {"steps": 60, "progress": False}
    falling = find_lr(loss_fn, make_params(), make_batches(), optax.adam, **given)
    steady = find_lr(
        loss_fn, make_params(), make_batches(), optax.adam, schedule="constant", **given
    )
    assert (falling.schedule, steady.schedule) == ("falling", "constant")
    assert steady.suggestion < falling.suggestion
    ours, theirs = cosine(400), optax.cosine_decay_schedule(1.0, 400)
    rates = [
        find_lr(loss_fn, make_params(), make_batches(), optax.adam, schedule=each, **given)
        for each in (ours, from_function(theirs, length=400), 0.5 * ours)
    ]
    assert rates[1].suggestion == pytest.approx(rates[0].suggestion, rel=1e-4)
    assert rates[2].suggestion == pytest.approx(2 * rates[0].suggestion, rel=1e-4)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (optax.cosine_decay_schedule(1.0, 400), "Wrap a function: `from_function"),
        (from_function(optax.exponential_decay(1.0, 10, 0.5)), "pass horizon="),
        (0.0 * cosine(400), "above 0 somewhere"),
    ],
)
def test_shapes_that_make_no_sense(schedule: Any, message: str) -> None:
    with pytest.raises(FinderError, match=message):
        find_lr(loss_fn, make_params(), make_batches(), optax.adam, schedule=schedule)
