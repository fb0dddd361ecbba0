"""find_rates on Optax: each band at its own rate, scored on what was held out, and no trace."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import sparse

from layerwise.errors import FinderError, LayerwiseError
from layerwise.optax import find_rates, with_multipliers
from tests._support.handed_over import HandedOver, use_instead
from tests._support.optax.trees import bits

QUIET: dict[str, Any] = {"budget": 300, "progress": False}
LEVELS = ("dense_0", "dense_1", "dense_2")


def make_params(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    sizes = {"dense_0": (4, 6), "dense_1": (6, 6), "dense_2": (6, 3)}
    return {
        name: {
            "kernel": jnp.asarray(rng.normal(size=size) / 2, "float32"),
            "bias": jnp.zeros(size[1]),
        }
        for name, size in sizes.items()
    }


def make_batches(number: int = 8, samples: int = 16) -> list[Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(number, samples, 4)).astype("float32")
    return [(one, one[:, :3].argmax(1)) for one in x]


def loss_fn(params: Any, batch: Any) -> Any:
    x, y = batch
    for name in LEVELS:
        x = x @ params[name]["kernel"] + params[name]["bias"]
        x = x if name == "dense_2" else jnp.tanh(x)
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()


OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda rate: optax.sgd(rate, momentum=0.9),
    "adamw": optax.adamw,
    "clipped": lambda rate: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(rate)),
    "injected": optax.inject_hyperparams(optax.adam)(learning_rate=1.0),
}
RATES = [(0.1, 0.05, 0.025), (0.02, 0.04, 0.08), (0.0, 0.0, 0.1), (0.0, 0.1, 0.0)]


def drive(monkeypatch: pytest.MonkeyPatch, use: Any, **arguments: Any) -> Any:
    use_instead(monkeypatch, "optax", use)
    given = {"loss_fn": loss_fn, "params": make_params(), "batches": make_batches()}
    return find_rates(**(given | {"optimizer": optax.adam} | QUIET | arguments))


def by_hand(make: Any, rates: Any, rules: Any, batches: list[Any]) -> tuple[list[float], Any]:
    """The losses of a compiled loop with ``with_multipliers``, and the weights after it."""
    params, losses, state = make_params(), [], None
    for rate, (x, y) in zip(rates, batches, strict=False):
        base = max(rate)
        own = {name: one / base for name, one in zip(LEVELS, rate, strict=True)} | rules
        optimizer = with_multipliers(make(base), own)
        state = optimizer.init(params) if state is None else state

        @jax.jit
        def step(params: Any, state: Any, x: Any, y: Any, optimizer: Any = optimizer) -> Any:
            loss, gradients = jax.value_and_grad(loss_fn)(params, (x, y))
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, loss

        params, state, loss = step(params, state, x, y)
        losses.append(float(loss))
    return losses, params


@pytest.mark.parametrize("rates", RATES, ids=str)
@pytest.mark.parametrize("name", ["sgd", "adamw", "clipped"])
def test_each_band_trains_as_with_multipliers(
    name: str, rates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [tuple(rate * share for rate in rates) for share in (1.0, 0.5, 0.25)]

    def use(given: HandedOver) -> Any:
        assert given.bands.names == LEVELS
        losses = [
            given.trainer.train((one,), rate) for one, rate in zip(given.data, steps, strict=False)
        ]
        return losses, given.trainer.score([(given.data[3],), (given.data[4],)])

    losses, score = drive(monkeypatch, use, optimizer=OPTIMIZERS[name])
    expected, params = by_hand(OPTIMIZERS[name], steps, {}, make_batches())
    # XLA fuses other constants into each kernel, so the last bit may differ.
    assert losses == pytest.approx(expected, rel=1e-6)
    held = [float(loss_fn(params, one)) for one in make_batches()[3:5]]
    assert score == pytest.approx(np.mean(held), rel=1e-6)


def test_one_optimizer_for_each_rate_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = (0.125, 0.0, 0.25)

    def use(given: HandedOver) -> Any:
        for one in given.data[:4]:
            given.trainer.train((one,), rates)
        return given.trainer._trainer.now().params

    found = drive(monkeypatch, use, optimizer=optax.sgd, jit=False)
    params = make_params()
    labels = {name: {"kernel": name, "bias": name} for name in LEVELS}
    each = dict(zip(LEVELS, map(optax.sgd, rates), strict=True))
    optimizer = optax.partition(each, labels)
    state = optimizer.init(params)
    for one in make_batches()[:4]:
        updates, state = optimizer.update(jax.grad(loss_fn)(params, one), state, params)
        params = optax.apply_updates(params, updates)
    assert bits(found) == bits(params)
    assert bits(found["dense_1"]) == bits(make_params()["dense_1"])


def test_a_step_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []

    def counted(params: Any, batch: Any) -> Any:
        traced.append(1)
        return loss_fn(params, batch)

    def use(given: HandedOver) -> None:
        for rates in RATES:
            given.trainer.train((given.data[0],), rates)
            given.trainer.score([(given.data[1],)])
            given.trainer.score([(given.data[1],)], [1.0, 1.5, 1.0])

    drive(monkeypatch, use, loss_fn=counted)
    assert len(traced) == 2  # the step and the score


def test_a_score_changes_nothing_and_stretches_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory in ("device", "host"):

        def use(given: HandedOver) -> Any:
            for one in given.data[:3]:
                given.trainer.train((one,), (0.1, 0.05, 0.1))
            before = bits(given.trainer._trainer.now())
            held = [(given.data[5],)]
            scores = [given.trainer.score(held, far) for far in (None, [1.0] * 3, [1.0, 1.5, 0.0])]
            assert bits(given.trainer._trainer.now()) == before
            return scores, given.trainer._trainer.now().params

        (plain, same, moved), now = drive(monkeypatch, use, memory=memory)
        assert plain == same
        start = make_params()
        far = dict(zip(LEVELS, (1.0, 1.5, 0.0), strict=True))
        stretched = {
            name: jax.tree.map(lambda s, n, f=far[name]: s + f * (n - s), start[name], now[name])
            for name in LEVELS
        }
        assert moved == pytest.approx(float(loss_fn(stretched, make_batches()[5])), rel=1e-6)
        assert moved != plain


def test_rules_are_kept_and_0_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {"dense_0": 0, "dense_1/bias": 0.5}
    steps = [(0.02, 0.1)] * 3

    def use(given: HandedOver) -> Any:
        assert given.bands.names == ("dense_1/kernel", "dense_2")
        assert given.bands.fixed == {"dense_0/kernel": 0, "dense_0/bias": 0, "dense_1/bias": 0.5}
        losses = [
            given.trainer.train((one,), rate) for one, rate in zip(given.data, steps, strict=False)
        ]
        return losses, given.trainer._trainer.now().params

    losses, params = drive(monkeypatch, use, rules=rules)
    own = {"dense_0": 0.0, "dense_1/bias": 0.5}
    expected, by_rules = by_hand(optax.adam, [(0, 0.02, 0.1)] * 3, own, make_batches())
    assert losses == pytest.approx(expected, rel=1e-6)
    assert bits(params["dense_0"]) == bits(make_params()["dense_0"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), params, by_rules)


def test_a_rate_in_the_state_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(given: HandedOver) -> list[float]:
        pairs = zip(given.data, RATES, strict=False)
        return [given.trainer.train((one,), rates) for one, rates in pairs]

    plain = drive(monkeypatch, use)
    assert drive(monkeypatch, use, optimizer=OPTIMIZERS["injected"]) == pytest.approx(
        plain, rel=1e-5
    )


@pytest.mark.parametrize("memory", ["device", "host"])
def test_nothing_of_the_callers_changes(memory: Any) -> None:
    params, batches = make_params(), make_batches()
    state = optax.adam(1.0).init(params)
    extra = {"seen": jnp.zeros(()), "key": jax.random.key(0)}

    def loss(params: Any, extra: Any, batch: Any) -> Any:
        key, extra["key"] = jax.random.split(extra["key"])
        extra["seen"] = extra["seen"] + 1
        noise = 0.01 * jax.random.normal(key, batch[0].shape)
        return loss_fn(params, (batch[0] + noise, batch[1])), extra

    before = bits((params, state, extra["seen"])), np.random.get_state()[1].tolist()
    found = [
        find_rates(
            *(loss, params, batches, optax.adam),
            state=state,
            extra=extra,
            memory=memory,
            rules={"dense_1/bias": 0.5},
            **QUIET,
        )
        for _ in range(2)
    ]
    assert (bits((params, state, extra["seen"])), np.random.get_state()[1].tolist()) == before
    assert found[0] == found[1]
    assert found[0].updates <= 300
    assert found[0].rules["dense_1/bias"] == 0.5
    with_multipliers(optax.adam(found[0].learning_rate), found[0].rules).init(params)


def test_batches_gathered_by_multi_steps() -> None:
    def gathering(rate: Any) -> Any:
        return optax.MultiSteps(optax.adam(rate), 2)

    found = find_rates(*(loss_fn, make_params(), make_batches(), gathering), accumulate=2, **QUIET)
    assert found.learning_rate is not None
    with pytest.raises(FinderError, match=r"^accumulate=2: this optimizer applies an update"):
        find_rates(loss_fn, make_params(), make_batches(), optax.adam, accumulate=2, **QUIET)
    with pytest.raises(FinderError, match=r"has applied no update after 1 of its batches"):
        find_rates(loss_fn, make_params(), make_batches(), gathering, **QUIET)


def test_levels_that_are_given_and_stacked_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [["dense_2"], ["dense_0", "dense_1"]]
    names = drive(monkeypatch, lambda given: given.bands.names, layers=layers)
    assert names == ("dense_2", "dense_0, dense_1")
    many = drive(monkeypatch, lambda given: given.bands.names, most_bands=2)
    assert many == ("dense_0, dense_1", "dense_2")


def test_ctrl_c_answers_with_what_there_is() -> None:
    calls = []

    def interrupted(params: Any, batch: Any) -> Any:
        calls.append(1)
        if len(calls) > 160:
            raise KeyboardInterrupt
        return loss_fn(params, batch)

    options: dict[str, Any] = {"jit": False, **QUIET}
    found = find_rates(interrupted, make_params(), make_batches(), optax.adam, **options)
    assert found.ended == "stopped by the user"
    calls += [1] * 1000
    with pytest.raises(KeyboardInterrupt):
        find_rates(interrupted, make_params(), make_batches(), optax.adam, **options)


def one_class(batches: list[Any]) -> list[Any]:
    return [(x, np.zeros_like(y)) for x, y in batches]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "function": ({"loss_fn": 3}, r"^loss_fn=3 must be a function\."),
    "no batch": ({"batches": []}, r"^The data has no batch"),
    "no data": ({"batches": 3}, r"^batches=3 must be the batches"),
    "one batch": ({"batches": [{"x": 1.0}]}, r"nothing can be held out"),
    "one example": ({"batches": [(np.ones((1, 4)), np.ones((1,)))]}, r"nothing can be held out"),
    "held out": ({"held_out": []}, r"^held_out has no batch"),
    "one class": ({"batches": one_class(make_batches())}, r"one class only"),
    "frozen": (
        {"rules": {"dense_0": 0, "dense_1": 0, "dense_2": 0}},
        r"^There is nothing to search for: every parameter is frozen",
    ),
    "moving": (
        {"rules": {"dense_0": lambda step: 1.0}},
        r"^The multiplier of 'dense_0' must be a number",
    ),
    "array": ({"rules": {"dense_0": np.ones(3)}}, r"dense_0"),
    "unmatched": ({"rules": {"dense_9": 0.5}}, r"'dense_9'"),
    "overlap": ({"layers": [["dense_0", "dense_1"], ["dense_1", "dense_2"]]}, r"dense_1"),
    "budget": ({"budget": 40}, r"^A budget of 40 updates is too small for one probe"),
    "loss": ({"loss_fn": lambda params, batch: params["dense_0"]["bias"]}, r"must be one number"),
    "dictionary": ({"loss_fn": lambda params, batch: {"loss": 1.0}}, r"Return the one entry"),
    "several rates": (
        {"optimizer": lambda rate: with_multipliers(optax.adam(rate), {"dense_0": 0.1})},
        r"^The optimizer has rates of its own for parts of the model",
    ),
    "no rate": ({"optimizer": optax.adam(0.1)}, r"^The rate of this optimizer is fixed inside it"),
    "not around": (
        {"optimizer": optax.contrib.schedule_free_adamw},
        r"around optax.contrib.schedule_free: .*Search with the optimizer that is inside of it",
    ),
    "integers": ({"params": {"dense_0": jnp.ones(3, int)}}, r"and no gradient"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    arguments, message = BAD[name]
    given: dict[str, Any] = {
        "loss_fn": loss_fn,
        "params": make_params(),
        "batches": make_batches(),
        "optimizer": optax.adam,
    }
    with pytest.raises(LayerwiseError, match=message):
        find_rates(**(given | QUIET | arguments))


def test_pairs_stay_together_where_whole_batches_are_divided() -> None:
    """The two halves of a batch are views of the same examples, as in contrastive learning."""
    views = [np.concatenate([x, x + 100]) for x, _ in make_batches(12, 8)]
    intact = []

    def note(x: Any) -> None:
        half = len(x) // 2
        intact.append(bool(np.allclose(x[:half] + 100, x[half : 2 * half], atol=1e-4)))

    def contrast(params: Any, x: Any) -> Any:
        jax.debug.callback(note, x)
        out = (x % 50) @ params["dense_0"]["kernel"] @ params["dense_1"]["kernel"]
        half = len(x) // 2
        apart = out[:half] - out[half : 2 * half]
        return jnp.mean(apart**2) + 0.01 * jnp.mean((out - 1) ** 2)

    for divide, whole in (("batches", True), ("examples", False)):
        intact.clear()
        find_rates(contrast, make_params(), views, optax.adam, divide=divide, **QUIET)
        jax.effects_barrier()
        assert all(intact) == whole


def test_random_keys_may_be_in_a_batch() -> None:
    keys = jax.random.split(jax.random.key(0), 16)
    batches = [{"x": x, "labels": y, "key": keys} for x, y in make_batches()]

    def with_key(params: Any, batch: Any) -> Any:
        return loss_fn(params, (batch["x"], batch["labels"]))

    assert find_rates(with_key, make_params(), batches, optax.adam, **QUIET).probes


@pytest.mark.parametrize("kind", ["tensors", "sparse"])
def test_batches_that_are_no_plain_arrays_are_divided_whole(kind: str) -> None:
    batches: list[Any] = make_batches()
    if kind == "tensors":
        torch = pytest.importorskip("torch")
        batches = [(torch.as_tensor(x), torch.as_tensor(y)) for x, y in batches]
    else:
        batches = [(sparse.BCOO.fromdense(x), jnp.asarray(y)) for x, y in batches]

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        return loss_fn(params, (x.numpy(), y.numpy()) if kind == "tensors" else (x.todense(), y))

    options: dict[str, Any] = {"jit": kind == "sparse", **QUIET}
    assert find_rates(loss, make_params(), batches, optax.adam, **options).probes
