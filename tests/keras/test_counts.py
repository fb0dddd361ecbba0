"""Schedules by tokens: the plain optimizer, whose rate a loop sets by hand, is the oracle."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import History, cosine, cyclic, linear, piecewise_constant, warmup
from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras import LRMultiplier, Recorder, explain
from layerwise.keras._moving.counts import Counts
from layerwise.keras.callbacks import Counter
from layerwise.schedules import Schedule

BACKEND = keras.backend.backend()
BASE = 0.05
SIZES = [4, 4, 8, 1, 16, 3, 2, 8]
SCHEDULE = warmup(10, start=0.2) >> cosine(60, end=0.1)

# Our rate is multiplied in float32, theirs in Python: a rounding or two an update.
RELATIVE, FLOOR = 2e-5, 2e-6


def make_variables() -> list[keras.Variable]:
    random = np.random.default_rng(3)
    return [
        keras.Variable(random.normal(size=shape).astype("float32"), name=f"w{place}")
        for place, shape in enumerate([(3, 4), (4,)])
    ]


def gradients(step: int) -> list[Any]:
    random = np.random.default_rng(100 + step)
    return [
        ops.convert_to_tensor(random.normal(size=shape).astype("float32"))
        for shape in [(3, 4), (4,)]
    ]


def values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable.value).copy() for variable in variables]


def by_hand(schedule: Schedule = SCHEDULE) -> list[np.ndarray]:
    optimizer, variables = keras.optimizers.Adam(BASE), make_variables()
    optimizer.build(variables)
    seen = 0
    for step, size in enumerate(SIZES):
        optimizer.learning_rate = BASE * schedule(seen)
        optimizer.apply(gradients(step), variables)
        seen += size
    return values(variables)


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=FLOOR)


@pytest.mark.parametrize("schedule", [SCHEDULE, cyclic(7, low=0.1)], ids=repr)
def test_a_loop_of_ones_own(schedule: Schedule) -> None:
    variables = make_variables()
    optimizer = LRMultiplier(keras.optimizers.Adam(BASE), schedule=schedule.by("samples"))
    optimizer.build(variables)
    seen = 0
    for step, size in enumerate(SIZES):
        assert optimizer.counts == {"samples": seen}
        rate = BASE * schedule(seen)
        assert list(optimizer.learning_rates().values()) == pytest.approx([rate, rate])
        optimizer.count(samples=size)
        optimizer.apply(gradients(step), variables)
        seen += size
    assert_close(values(variables), by_hand(schedule))


def test_a_compiled_loop_that_counts_inside() -> None:
    variables = make_variables()
    optimizer = LRMultiplier(keras.optimizers.Adam(BASE), schedule=SCHEDULE.by("samples"))
    optimizer.build(variables)
    update: Any
    if BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function
        def update(grads: Any, size: Any) -> None:
            optimizer.count(samples=size)
            optimizer.apply(grads, variables)

        for step, size in enumerate(SIZES):
            update(gradients(step), tf.constant(size))
    elif BACKEND == "jax":
        import jax

        @jax.jit
        def update(state: Any, grads: Any, weights: Any, size: Any) -> Any:
            state = optimizer.stateless_count(state, samples=size)
            return optimizer.stateless_apply(state, grads, weights)

        state, weights = [v.value for v in optimizer.variables], [v.value for v in variables]
        for step, size in enumerate(SIZES):
            weights, state = update(state, gradients(step), weights, size)
        for variable, value in zip(
            [*variables, *optimizer.variables], [*weights, *state], strict=True
        ):
            variable.assign(value)
    else:
        for step, size in enumerate(SIZES):
            optimizer.count(samples=ops.convert_to_tensor(size))
            optimizer.apply(gradients(step), variables)
    assert optimizer.counts == {"samples": sum(SIZES)}
    assert_close(values(variables), by_hand())


def test_counts_beyond_32_bits_are_exact() -> None:
    variables = make_variables()
    optimizer = LRMultiplier(
        keras.optimizers.SGD(1.0), schedule=linear(10**13).by("tokens") * linear(8)
    )
    optimizer.build(variables)
    optimizer.counts = {"tokens": 5 * 10**12 - 1}
    for step in range(4):
        optimizer.count(tokens=2**30 - 1)
        optimizer.apply(gradients(step), variables)
    assert optimizer.counts == {"tokens": 5 * 10**12 - 1 + 4 * (2**30 - 1)}
    before = values(variables)
    optimizer.count(tokens=1)
    optimizer.apply(gradients(0), variables)
    moved = [a - b for a, b in zip(before, values(variables), strict=True)]
    expected = [ops.convert_to_numpy(gradient) * 0.5 * 0.5 for gradient in gradients(0)]
    for ours, theirs in zip(moved, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


# -- fit ------------------------------------------------------------------------------------------

DATA = np.random.default_rng(1).normal(size=(sum(SIZES), 4)).astype("float32")
TARGET = DATA[:, :1] * 2.0


def batches(sizes: list[int] = SIZES) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    begin = 0
    for size in sizes:
        yield DATA[begin : begin + size], TARGET[begin : begin + size]
        begin += size


def make_model(optimizer: Any) -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, "tanh", name="first"), keras.layers.Dense(1)]
    )
    model.compile(optimizer, loss="mse")
    return model


def make_optimizer(**options: Any) -> LRMultiplier:
    return LRMultiplier(keras.optimizers.Adam(BASE, **options), schedule=SCHEDULE.by("samples"))


def fit(model: keras.Model, sizes: list[int], begin: int = 0, **options: Any) -> None:
    given = list(batches())[begin : begin + len(sizes)]
    seen: deque[int] = deque()

    def data() -> Iterator[Any]:
        for x, y in given:
            seen.append(len(x))
            yield x, y

    counter = Counter(samples=lambda batch: seen.popleft())
    callbacks = [counter, *options.pop("callbacks", [])]
    model.fit(
        data(), shuffle=False, steps_per_epoch=len(given), verbose=0, callbacks=callbacks, **options
    )


def trained_by_hand(accumulate: int = 1) -> list[np.ndarray]:
    """The same training by Keras alone: its rate is set between batches."""
    plain = keras.optimizers.Adam(
        BASE, gradient_accumulation_steps=accumulate if accumulate > 1 else None
    )
    model, seen, done = make_model(plain), 0, 0
    for batch, (x, y) in enumerate(batches()):
        if batch % accumulate == 0:
            plain.learning_rate = BASE * SCHEDULE(seen)
        model.train_on_batch(x, y)
        done += len(x)
        if (batch + 1) % accumulate == 0:
            seen = done
    return [np.asarray(weight) for weight in model.get_weights()]


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.get_weights()]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_fit_with_batches_that_change(accumulate: int) -> None:
    model = make_model(
        make_optimizer(gradient_accumulation_steps=accumulate if accumulate > 1 else None)
    )
    fit(model, SIZES)
    assert model.optimizer.counts == {"samples": sum(SIZES)}
    assert_close(weights_of(model), trained_by_hand(accumulate))


@pytest.mark.parametrize("stop", [1, 5])
def test_saved_and_resumed_in_the_middle(stop: int, tmp_path: Any) -> None:
    model = make_model(make_optimizer())
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    fit(model, SIZES[:stop], callbacks=[saving])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.counts == {"samples": sum(SIZES[:stop])}
    fit(loaded, SIZES[stop:], stop)
    assert_close(weights_of(loaded), trained_by_hand())
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = make_model(make_optimizer())
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(tmp_path / "model.weights.h5")
    assert fresh.optimizer.counts == {"samples": sum(SIZES[:stop])}


def test_a_number_for_each_batch_several_counters_and_a_recorder(tmp_path: Any) -> None:
    schedule = linear(100).by("samples") * linear(1_000).by("tokens")
    model = make_model(LRMultiplier("sgd", {"first": 0.5}, schedule=schedule))
    counter = Counter(samples=8, tokens=lambda batch: 10 * batch)
    record = Recorder(tmp_path)
    model.fit(DATA[:40], TARGET[:40], batch_size=8, verbose=0, callbacks=[record, counter])
    assert model.optimizer.counts == {"samples": 40, "tokens": 100}
    rates = list(model.optimizer.learning_rates().values())
    base = float(ops.convert_to_numpy(model.optimizer.learning_rate))
    assert rates[2] == pytest.approx(base * 0.6 * 0.9)
    assert len(History.load(tmp_path).batch["loss"]) == 5


def test_hyperparameters_and_multipliers_by_tokens() -> None:
    variables = make_variables()
    optimizer = LRMultiplier(
        keras.optimizers.SGD(1.0, momentum=0.9),
        {"w0": linear(10).by("tokens")},
        hyperparameters={"momentum": linear(10, 0.9, 0.5).by("tokens")},
    )
    optimizer.build(variables)
    optimizer.count(tokens=5)
    optimizer.apply(gradients(0), variables)
    assert optimizer.hyperparameters() == {"momentum": pytest.approx(0.7)}
    assert list(optimizer.learning_rates().values()) == [0.5, 1.0]
    before, momenta = values(variables), values(optimizer.momentums)
    optimizer.count(tokens=1)
    optimizer.apply(gradients(1), variables)
    for rate, old, m, g, new in zip(
        [0.5, 1.0], before, momenta, gradients(1), values(variables), strict=True
    ):
        step = np.float32(0.7) * m - ops.convert_to_numpy(g) * np.float32(rate)
        np.testing.assert_allclose(new, old + step, rtol=1e-5, atol=1e-6)


def test_an_update_reads_the_counts_from_the_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    variables, reads = make_variables(), []
    on_host = Counts.on_host
    monkeypatch.setattr(Counts, "on_host", lambda self: reads.append(1) or on_host(self))
    optimizer = LRMultiplier(
        keras.optimizers.SGD(1.0, momentum=0.9),
        {"w0": linear(10).by("tokens"), "w1": linear(20).by("samples")},
        schedule=linear(30).by("tokens"),
        hyperparameters={"momentum": linear(10, 0.9, 0.5).by("tokens")},
    )
    optimizer.build(variables)
    for _ in range(2):
        reads.clear()
        optimizer.count(tokens=1, samples=1)
        optimizer.apply(gradients(0), variables)
        assert len(reads) == (BACKEND == "torch")


def test_without_a_count_it_is_an_error() -> None:
    variables = make_variables()
    optimizer = make_optimizer()
    with pytest.raises(OptimizerError, match="has not seen its variables yet"):
        optimizer.count(samples=3)
    optimizer.build(variables)
    before = values(variables)
    with pytest.raises(ScheduleError, match=r"nobody counts them.*Counter\(samples=n\)"):
        optimizer.apply(gradients(0), variables)
    assert all(map(np.array_equal, values(variables), before))
    model = make_model(make_optimizer())
    for _ in range(2):
        with pytest.raises(ScheduleError, match="nobody counts them"):
            model.fit(DATA[:8], TARGET[:8], verbose=0)
        if BACKEND != "torch":  # an error in a traced step leaves variables without values
            model = make_model(make_optimizer())
        # What one training counts, the next one must, too.
        model.fit(DATA[:8], TARGET[:8], verbose=0, callbacks=[Counter(samples=8)])


def test_what_was_counted_once_is_not_counted_for_ever() -> None:
    variables = make_variables()
    optimizer = make_optimizer()
    optimizer.build(variables)
    for _ in range(2):
        optimizer.count(samples=3)
        optimizer.count(samples=1)
        optimizer.apply(gradients(0), variables)
        with pytest.raises(ScheduleError, match="nobody counts them"):
            optimizer.apply(gradients(0), variables)
    assert optimizer.counts == {"samples": 8}
    model = make_model(make_optimizer())
    model.optimizer.build(model.trainable_variables)
    model.optimizer.count(samples=3)
    model.optimizer.apply([ops.ones(v.shape) for v in model.trainable_variables])
    with pytest.raises(ScheduleError, match="nobody counts them"):
        model.fit(DATA[:8], TARGET[:8], verbose=0)


def test_nobody_counts_after_a_training_that_failed(tmp_path: Any) -> None:
    def failing(batch: int) -> int:
        if batch == 1:
            raise RuntimeError("stop")
        return 8

    model = make_model(make_optimizer())
    given: dict[str, Any] = {"batch_size": 8, "verbose": 0}
    with pytest.raises(RuntimeError, match="stop"):
        model.fit(DATA[:16], TARGET[:16], callbacks=[Counter(samples=failing)], **given)
    with pytest.raises(ScheduleError, match="nobody counts them"):
        model.fit(DATA[:8], TARGET[:8], **given)


def test_a_recorder_that_saw_a_counter_does_not_count_alone(tmp_path: Any) -> None:
    schedule = linear(100).by("samples") * linear(1_000).by("tokens")
    model = make_model(LRMultiplier("sgd", schedule=schedule))
    record = Recorder(tmp_path)
    given: dict[str, Any] = {"batch_size": 8, "verbose": 0}
    model.fit(DATA[:8], TARGET[:8], callbacks=[record, Counter(samples=8, tokens=9)], **given)
    model.fit(DATA[:8], TARGET[:8], callbacks=[Counter(samples=8, tokens=9), record], **given)
    assert model.optimizer.counts == {"samples": 16, "tokens": 18}
    with pytest.raises(ScheduleError, match="The schedules count tokens, and nobody"):
        model.fit(DATA[:8], TARGET[:8], callbacks=[record, Counter(samples=8)], **given)


def test_functions_compiled_apart_count_for_each_other() -> None:
    variables = make_variables()
    optimizer = LRMultiplier(keras.optimizers.Adam(BASE), schedule=SCHEDULE.by("samples"))
    optimizer.build(variables)
    count: Any = optimizer.count
    if BACKEND == "tensorflow":
        import tensorflow as tf

        count = tf.function(optimizer.count)
    elif BACKEND == "jax":
        import jax

        compiled = jax.jit(optimizer.stateless_count)

        def count(samples: int) -> None:
            state = compiled([v.value for v in optimizer.variables], samples=samples)
            for variable, value in zip(optimizer.variables, state, strict=True):
                variable.assign(value)

    for step, size in enumerate(SIZES):
        count(samples=ops.convert_to_tensor(size))
        optimizer.apply(gradients(step), variables)
    assert_close(values(variables), by_hand())


@pytest.mark.parametrize("amount", [-1, 1.5, float("nan"), "3", None, 2**30])
def test_an_amount_that_is_none(amount: Any) -> None:
    optimizer = make_optimizer()
    optimizer.build(make_variables())
    for call in (
        lambda: optimizer.count(samples=amount),
        lambda: Counter(samples=amount),
        lambda: make_model(make_optimizer()).fit(
            DATA[:8], TARGET[:8], verbose=0, callbacks=[Counter(samples=lambda batch: amount)]
        ),
    ):
        with pytest.raises(ScheduleError, match="The count of samples must be a whole number"):
            call()
    assert optimizer.counts == {"samples": 0}


def test_what_nobody_counts_and_where_nobody_can() -> None:
    optimizer = make_optimizer()
    optimizer.build(make_variables())
    with pytest.raises(ScheduleError, match="counts 'tokens': they count samples"):
        optimizer.count(tokens=3)
    with pytest.raises(ScheduleError, match="counts 'tokens': they count samples"):
        optimizer.counts = {"tokens": 3}
    options: dict[str, Any] = {"verbose": 0, "callbacks": [Counter(samples=3)]}
    with pytest.raises(ScheduleError, match="counts 'samples': they count updates alone"):
        make_model(LRMultiplier("sgd")).fit(DATA, TARGET, **options)
    with pytest.raises(OptimizerError, match="schedules of an LRMultiplier"):
        make_model("sgd").fit(DATA, TARGET, **options)
    model = make_model(make_optimizer())
    with pytest.raises(OptimizerError, match="Two callbacks of this training count"):
        model.fit(DATA, TARGET, verbose=0, callbacks=[Counter(samples=3), Counter(samples=3)])
    if BACKEND == "torch":
        return  # Keras runs one step an execution there
    model = make_model(make_optimizer())
    model.compile(model.optimizer, loss="mse", steps_per_execution=2)
    with pytest.raises(OptimizerError, match="steps_per_execution=2"):
        model.fit(DATA, TARGET, **options)


def test_the_variables_without_counters_are_the_plain_ones() -> None:
    plain, ours = keras.optimizers.Adam(BASE), LRMultiplier(keras.optimizers.Adam(BASE))
    for optimizer in (plain, ours):
        optimizer.build(make_variables())
    assert len(plain.variables) == len(ours.variables)
    counting = make_optimizer()
    counting.build(make_variables())
    assert [v.name for v in counting.variables[len(plain.variables) :]] == ["samples_count"]


def test_other_rules_go_on_counting() -> None:
    variables = make_variables()
    optimizer = make_optimizer()
    optimizer.build(variables)
    optimizer.count(samples=30)
    optimizer.apply(gradients(0), variables)
    for other in (
        optimizer.with_rules({"w0": 0.5}, schedule=linear(60).by("samples")),
        LRMultiplier(optimizer, {"w0": 0.5}),
    ):
        other.build(variables)
        assert other.counts == {"samples": 30}
        assert int(ops.convert_to_numpy(other.iterations)) == 1


def test_explain_shows_what_was_counted_and_leaves_out_what_nobody_knows() -> None:
    model = make_model(
        LRMultiplier(keras.optimizers.SGD(1.0), {"first": linear(100).by("samples")})
    )
    model.fit(DATA[:40], TARGET[:40], batch_size=8, verbose=0, callbacks=[Counter(samples=8)])
    now = explain(model, steps=(0, 6)).to_dict()
    assert now["rate @ 5"] == pytest.approx([0.6, 0.6, 1.0, 1.0])
    assert now["rate @ 0"] == [1.0] * 4
    assert now["rate @ 6"] == [None, None, 1.0, 1.0]
    other = explain(model, {"first": linear(50).by("samples"), "dense": linear(9).by("epochs")})
    assert other.to_dict()["rate @ 5"] == [pytest.approx(0.2), pytest.approx(0.2), None, None]
    later = explain(model, step=7).to_dict()
    assert later["rate @ 7"] == [None, None, 1.0, 1.0]
    assert explain(model, {"first": 0.5}, step=7).step == 7
    assert list(model.optimizer.learning_rates().values()) == pytest.approx([0.6, 0.6, 1.0, 1.0])


@pytest.mark.parametrize("every", [2, None])
def test_averages_of_weights_under_counts(every: int | None) -> None:
    ema: dict[str, Any] = {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": every}
    by_samples = {"first": piecewise_constant([20], [0.0, 1.0]).by("samples")}
    model = make_model(LRMultiplier(keras.optimizers.SGD(0.1, **ema), by_samples))
    by_updates = {"first": piecewise_constant([3], [0.0, 1.0])}  # 24 samples before it
    hand = make_model(LRMultiplier(keras.optimizers.SGD(0.1, **ema), by_updates))
    given: dict[str, Any] = {"batch_size": 8, "verbose": 0, "shuffle": False}
    model.fit(DATA[:40], TARGET[:40], callbacks=[Counter(samples=8)], **given)
    hand.fit(DATA[:40], TARGET[:40], **given)
    for ours, theirs in zip(weights_of(model), weights_of(hand), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
