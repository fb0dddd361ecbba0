"""Momentum and betas that move: the plain optimizer, set by hand before each update, is the oracle.

It is set to the step's value as a Python number and updates eagerly, one variable at a time.
"""

import json
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import constant, cosine, linear, one_cycle
from layerwise.errors import OptimizerError, ScheduleError
from layerwise.keras import LossScaleOptimizer, LRMultiplier

BACKEND = keras.backend.backend()
STEPS = 7

# A number of Python is rounded to float32 at other places than a tensor is.
RELATIVE, FLOOR = 2e-5, 2e-6

MOVING = {
    "SGD": ({"momentum": 0.9}, ["momentum"]),
    "SGD, nesterov": ({"momentum": 0.9, "nesterov": True}, ["momentum"]),
    "RMSprop": ({"momentum": 0.9}, ["momentum", "rho"]),
    "RMSprop, centered": ({"momentum": 0.9, "centered": True}, ["rho"]),
    "Adam": ({}, ["beta_1", "beta_2"]),
    "Adam, amsgrad": ({"amsgrad": True}, ["beta_1"]),
    "AdamW": ({"weight_decay": 0.01}, ["beta_1", "beta_2"]),
    "Adamax": ({}, ["beta_1", "beta_2"]),
    "Nadam": ({}, ["beta_1", "beta_2"]),
    "Lion": ({}, ["beta_1", "beta_2"]),
    "Lamb": ({}, ["beta_1", "beta_2"]),
    "Adadelta": ({}, ["rho"]),
    "Ftrl": ({"beta": 0.5}, ["beta"]),
    "Muon": ({}, ["momentum", "adam_beta_1"]),
    "ScheduleFreeAdamW": ({}, ["beta_2"]),
}
CASES = [
    pytest.param(name, moving, id=f"{name}: {moving}")
    for name, (_, names) in MOVING.items()
    if hasattr(keras.optimizers, name.partition(",")[0])  # Keras 3.10 lacks some
    for moving in names
]
SCHEDULE = linear(5, 0.9, 0.5)


def make(name: str) -> keras.optimizers.Optimizer:
    kind = getattr(keras.optimizers, name.partition(",")[0])
    return kind(0.05, **MOVING[name][0])


def make_variables() -> list[keras.Variable]:
    random = np.random.default_rng(3)
    shapes = [(3, 4), (4,), (4, 2)]
    return [
        keras.Variable(random.normal(size=shape).astype("float32"), name=f"w{place}")
        for place, shape in enumerate(shapes)
    ]


def gradients(step: int) -> list[Any]:
    random = np.random.default_rng(100 + step)
    return [
        ops.convert_to_tensor(random.normal(size=shape).astype("float32"))
        for shape in [(3, 4), (4,), (4, 2)]
    ]


def values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable.value).copy() for variable in variables]


def by_hand(name: str, moving: str, schedule: Any = SCHEDULE) -> list[np.ndarray]:
    optimizer, variables = make(name), make_variables()
    optimizer.build(variables)
    for step in range(STEPS):
        setattr(optimizer, moving, float(schedule(step)))
        optimizer.apply(gradients(step), variables)
    return values(variables)


def test_beta_of_ftrl_is_no_share_and_may_exceed_1() -> None:
    schedule, variables = linear(5, 0.5, 30.0), make_variables()
    optimizer = LRMultiplier(make("Ftrl"), hyperparameters={"beta": schedule})
    optimizer.build(variables)
    update = compiled(optimizer, variables)
    for step in range(STEPS):
        update(gradients(step))
    assert_close(values(variables), by_hand("Ftrl", "beta", schedule))


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=RELATIVE, atol=FLOOR)


def compiled(optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]) -> Any:
    """An update as the backend compiles it; PyTorch runs line by line."""
    if BACKEND == "jax":
        import jax

        jitted = jax.jit(optimizer.stateless_apply)

        def update(grads: list[Any]) -> None:
            state = [v.value for v in optimizer.variables], grads, [v.value for v in variables]
            new, own = jitted(*state)
            for variable, value in zip(
                [*variables, *optimizer.variables], [*new, *own], strict=True
            ):
                variable.assign(value)

        return update
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda grads: optimizer.apply(grads, variables))
    return lambda grads: optimizer.apply(grads, variables)


@pytest.mark.parametrize(("name", "moving"), CASES)
def test_every_optimizer(name: str, moving: str) -> None:
    expected = by_hand(name, moving)
    still = by_hand(name, moving, constant(getattr(make(name), moving)))
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(expected, still, strict=True))
    optimizer, variables = (
        LRMultiplier(make(name), hyperparameters={moving: SCHEDULE}),
        make_variables(),
    )
    optimizer.build(variables)
    own = getattr(optimizer, moving)
    update = compiled(optimizer, variables)
    for step in range(STEPS):
        assert optimizer.hyperparameters() == {moving: pytest.approx(SCHEDULE(step))}
        update(gradients(step))
        assert getattr(optimizer, moving) == own == getattr(make(name), moving)
    assert_close(values(variables), expected)


def test_line_by_line_too() -> None:
    for name, moving in (("SGD", "momentum"), ("Adam", "beta_1")):
        optimizer, variables = (
            LRMultiplier(make(name), hyperparameters={moving: SCHEDULE}),
            make_variables(),
        )
        for step in range(STEPS):
            optimizer.apply(gradients(step), variables)
        assert_close(values(variables), by_hand(name, moving))


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_a_momentum_of_0_goes_on_keeping_momentum(name: str) -> None:
    off_and_on = linear(2, 0.9, 0.0) >> linear(3, 0.0, 0.8)
    tiny = off_and_on.clamp(low=1e-30)  # by hand, a 0 would leave the momentum as it was
    optimizer, variables = (
        LRMultiplier(make(name), hyperparameters={"momentum": off_and_on}),
        make_variables(),
    )
    optimizer.build(variables)
    update = compiled(optimizer, variables)
    for step in range(STEPS):
        update(gradients(step))
    assert_close(values(variables), by_hand(name, "momentum", tiny))


def test_a_function_of_the_step_and_rules_beside_it() -> None:
    optimizer, variables = (
        LRMultiplier(
            make("SGD"),
            {"w0": 0.0},
            schedule=cosine(10),
            hyperparameters={"momentum": lambda step: 0.9 / (1 + step)},
        ),
        make_variables(),
    )
    before = values(variables)
    update_by_hand, others = make("SGD"), make_variables()[1:]
    update_by_hand.build(others)
    for step in range(STEPS):
        optimizer.apply(gradients(step), variables)
        update_by_hand.momentum = 0.9 / (1 + step)
        update_by_hand.learning_rate = 0.05 * cosine(10)(step)
        update_by_hand.apply(gradients(step)[1:], others)
    np.testing.assert_array_equal(values(variables)[0], before[0])
    assert_close(values(variables)[1:], values(others))


def make_model(optimizer: keras.optimizers.Optimizer) -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, "tanh"), keras.layers.Dense(1)]
    )
    model.compile(optimizer, loss="mse")
    return model


DATA = np.random.default_rng(1).normal(size=(24, 4)).astype("float32")
TARGET = DATA[:, :1] * 2.0
ONE_CYCLE = one_cycle(8, start=0.95, peak=0.85, end=0.95)


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.get_weights()]


@pytest.mark.parametrize("accumulate", [None, 2])
def test_fit_and_accumulation(accumulate: int | None) -> None:
    def optimizer(**options: Any) -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(0.05, gradient_accumulation_steps=accumulate, **options)

    class SetByHand(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.beta_1 = ONE_CYCLE(batch // (accumulate or 1))

    theirs = make_model(optimizer())
    theirs.run_eagerly = True
    theirs.jit_compile = False
    options = {"batch_size": 4, "epochs": 1, "shuffle": False, "verbose": 0}
    if BACKEND != "jax":  # there nothing but a new optimizer is read while fit runs
        theirs.fit(DATA, TARGET, callbacks=[SetByHand()], **options)
        expected = weights_of(theirs)
    else:
        variables = theirs.trainable_variables
        plain = theirs.optimizer
        import jax

        def loss(weights: list[Any], x: Any, y: Any) -> Any:
            prediction, _ = theirs.stateless_call(weights, [], x)
            return ops.mean(ops.square(prediction - y))

        for batch in range(6):
            plain.beta_1 = ONE_CYCLE(batch // (accumulate or 1))
            x, y = DATA[batch * 4 : batch * 4 + 4], TARGET[batch * 4 : batch * 4 + 4]
            plain.apply(jax.grad(loss)([v.value for v in variables], x, y), variables)
        expected = weights_of(theirs)
    ours = make_model(LRMultiplier(optimizer(), hyperparameters={"beta_1": ONE_CYCLE}))
    ours.fit(DATA, TARGET, **options)
    for a, b in zip(weights_of(ours), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_saved_and_loaded_it_goes_on(tmp_path: Any) -> None:
    options = {"batch_size": 4, "epochs": 1, "shuffle": False, "verbose": 0}
    moving = {"momentum": one_cycle(20, start=0.95, peak=0.85, end=0.95)}

    def optimizer() -> LRMultiplier:
        return LRMultiplier(
            keras.optimizers.SGD(0.05, momentum=0.9), {"dense": 0.5}, hyperparameters=moving
        )

    whole, part = make_model(optimizer()), make_model(optimizer())
    whole.fit(DATA, TARGET, **options)
    whole.fit(DATA, TARGET, **options)
    part.fit(DATA, TARGET, **options)
    part.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.hyperparameters() == part.optimizer.hyperparameters()
    loaded.fit(DATA, TARGET, **options)
    for a, b in zip(weights_of(loaded), weights_of(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_config_round_trip_and_nesting() -> None:
    inner = LRMultiplier("adam", {"w": 0.5}, hyperparameters={"beta_1": cosine(10, 0.9, 0.8)})
    outer = LRMultiplier(inner, {"w": 0.5}, hyperparameters={"beta_2": constant(0.98)})
    assert outer.hyperparameters() == {"beta_1": 0.9, "beta_2": 0.98}
    config = json.loads(json.dumps(outer.get_config()))
    again = LRMultiplier.from_config(config)
    assert again.hyperparameters() == outer.hyperparameters()
    assert again.get_config() == outer.get_config()
    assert "hyperparameters" not in LRMultiplier("adam").get_config()
    with pytest.raises(OptimizerError, match="both move its beta_1"):
        LRMultiplier(inner, hyperparameters={"beta_1": constant(0.9)})
    assert inner.with_rules({"w": 2.0}).hyperparameters() == {}
    changed = inner.with_rules(hyperparameters={"beta_1": constant(0.5)})
    assert changed.hyperparameters() == {"beta_1": 0.5}


def test_inside_loss_scaling() -> None:
    variables, plain = make_variables(), make_variables()
    inner = LRMultiplier(make("SGD"), hyperparameters={"momentum": SCHEDULE})
    optimizer = LossScaleOptimizer(inner, initial_scale=1.0)
    optimizer.build(variables)
    update = compiled(optimizer, variables)
    by_hand = make("SGD")
    by_hand.build(plain)
    for step in range(4):
        update(gradients(step))
        by_hand.momentum = SCHEDULE(step)
        by_hand.apply(gradients(step), plain)
    assert_close(values(variables), values(plain))


@pytest.mark.parametrize(
    ("optimizer", "given", "error", "message"),
    [
        ("adam", {"momentum": constant(0.9)}, OptimizerError, "Adam has no 'momentum'.*beta_1"),
        ("adam", {"learning_rate": constant(0.9)}, OptimizerError, "Adam has no 'learning_rate'"),
        ("adam", {"amsgrad": constant(0.9)}, OptimizerError, "Adam has no 'amsgrad'"),
        ("sgd", {"momentum": constant(0.9)}, OptimizerError, "made with momentum=0.0.*above 0"),
        ("adam", {"beta_1": 0.9}, ScheduleError, r"hyperparameters\['beta_1'\]=0.9 must be a sch"),
        ("adam", {"beta_1": cosine}, ScheduleError, "must be a schedule"),
        (
            "adam",
            {"beta_1": constant(1.0, 5)},
            ScheduleError,
            "beta_1 is 1.0 at step 0; it must be",
        ),
        ("adam", {"beta_1": linear(4, 0.0, 2.0)}, ScheduleError, "beta_1 is 1.0 at step 2"),
        ("adam", {"beta_1": lambda step: step + 1.5}, ScheduleError, "must be below 1"),
        ("adam", [constant(0.9)], OptimizerError, "must be a mapping"),
        ("muon", {"adam_beta_1": constant(1.0)}, ScheduleError, "adam_beta_1 is 1.0 at step 0"),
        ("muon", {"ns_steps": constant(3.0)}, OptimizerError, "Muon has no 'ns_steps' that can"),
        (
            "adagrad",
            {"initial_accumulator_value": constant(0.5)},
            OptimizerError,
            "Adagrad has no 'initial_accumulator_value' that can move",
        ),
    ],
)
def test_bad_input(optimizer: str, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LRMultiplier(optimizer, hyperparameters=given)
