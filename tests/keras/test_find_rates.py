"""find_rates on Keras: each band at its own rate, scored by the test step on what was held out."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise.keras import LRMultiplier, annotate, find_rates
from layerwise.keras._finder._bands.trainer import BandsTrainer
from tests._support.handed_over import HandedOver, use_instead
from tests._support.keras.networks import loss, make_data, make_network

BACKEND = keras.backend.backend()
LEVELS = ("low", "middle", "high")
RATES = [(0.1, 0.05, 0.025), (0.02, 0.04, 0.08), (0.0, 0.0, 0.1), (0.0, 0.1, 0.0)]
QUIET: dict[str, Any] = {"budget": 300, "progress": False}

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda: keras.optimizers.SGD(1.0, momentum=0.9),
    "adamw clipped": lambda: keras.optimizers.AdamW(1.0, weight_decay=0.1, global_clipnorm=0.1),
    "nadam with ema": lambda: keras.optimizers.Nadam(1.0, use_ema=True, ema_overwrite_frequency=2),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(1.0), initial_scale=4.0
    ),
    "multiplied": lambda: LRMultiplier("adam"),
}


def make(optimizer: Any = "adam", **options: Any) -> Any:
    model = make_network(kernel_regularizer=keras.regularizers.L2(0.01))
    model.compile(optimizer, loss=options.pop("loss", None) or loss(), **options)
    return model


def in_batches(*arrays: Any, size: int = 16) -> list[tuple[Any, ...]]:
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def drive(monkeypatch: pytest.MonkeyPatch, use: Any, model: Any, *data: Any, **options: Any) -> Any:
    """What a function does with what the search would have been given."""
    use_instead(monkeypatch, "keras", use)
    given = {"batch_size": 16, "shuffle": False} | QUIET | options
    return find_rates(model, *(data or make_data()), **given)


def by_hand(model: Any, rates: Any, batches: Any, rules: Any = None) -> list[float]:
    """The loss of each batch, of a model under an ``LRMultiplier`` with these multipliers."""
    base = max(rates[0])
    own = dict(zip(LEVELS, [one / base for one in rates[0]], strict=True)) | (rules or {})
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    multiplied = LRMultiplier(inner, own)
    model.compile(multiplied, loss=loss(), metrics=["accuracy"])
    losses = []
    for rate, batch in zip(rates, batches, strict=False):
        multiplied.learning_rate = max(rate)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(*batch, return_dict=True)["loss"]))
    return losses


def steps_of(rates: Any) -> list[tuple[float, ...]]:
    return [tuple(rate * share for rate in rates) for share in (1.0, 0.5, 0.25)]


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("sgd", RATES[0]),
        ("sgd", RATES[3]),
        ("adamw clipped", RATES[2]),
        ("nadam with ema", RATES[1]),
        ("nadam with ema", RATES[3]),
        ("scaled", RATES[2]),
    ],
)
def test_each_band_trains_as_under_multipliers(
    name: str, rates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = steps_of(rates)
    batches = in_batches(*make_data())

    def use(given: HandedOver) -> Any:
        assert given.bands.names == LEVELS
        found = list(given.data)
        losses = [given.trainer.train((b,), r) for b, r in zip(found, steps, strict=False)]
        return losses, [given.trainer.score([(one,)]) for one in found[:2]]

    losses, scores = drive(monkeypatch, use, make(OPTIMIZERS[name](), metrics=["accuracy"]))
    other = make(OPTIMIZERS[name]())
    # XLA folds a number into the kernels, and computes with a variable.
    assert losses == pytest.approx(by_hand(other, steps, batches), rel=1e-6, abs=1e-6)
    held = [other.evaluate(*one, verbose=0, return_dict=True)["loss"] for one in batches[:2]]
    assert scores == pytest.approx(held, rel=1e-5)
    assert losses[0] == pytest.approx(losses[1], rel=0.9)  # a guard against nan


def weights(model: Any) -> dict[str, np.ndarray]:
    return {v.path: keras.ops.convert_to_numpy(v.value) for v in model.trainable_variables}


def trained_weights(given: HandedOver) -> dict[str, np.ndarray]:
    """The weights in the midst of a search: on JAX they are not in the variables."""
    trainer = given.trainer._trainer
    variables = trainer.model.trainable_variables
    values = trainer._state[0] if BACKEND == "jax" else [v.value for v in variables]
    convert = keras.ops.convert_to_numpy
    return {v.path: np.array(convert(x)) for v, x in zip(variables, values, strict=True)}


def test_rules_and_annotations_are_kept_and_0_freezes(monkeypatch: pytest.MonkeyPatch) -> None:
    def annotated() -> Any:
        model = make()
        annotate(model.get_layer("middle"), 0.5)
        return model

    model, steps = annotated(), steps_of((0.05,))

    def use(given: HandedOver) -> Any:
        assert given.bands.names == ("high",)
        assert set(given.bands.fixed.values()) == {0.0, 0.5}
        given_batches = list(given.data)
        losses = [given.trainer.train((b,), r) for b, r in zip(given_batches, steps, strict=False)]
        return losses, trained_weights(given)

    losses, trained = drive(monkeypatch, use, model, rules={"low": 0})
    other = annotated()
    multiplied = LRMultiplier("adam", {"low": 0.0})
    other.compile(multiplied, loss=loss())
    expected = []
    for (rate,), batch in zip(steps, in_batches(*make_data()), strict=False):
        multiplied.learning_rate = rate
        expected.append(float(other.train_on_batch(*batch)))
    assert losses == pytest.approx(expected, rel=1e-6)
    before, after = weights(make()), weights(other)
    for path, value in trained.items():
        np.testing.assert_allclose(value, after[path], rtol=1e-4, atol=1e-6)
        assert (value.tobytes() == before[path].tobytes()) == path.startswith("low")


def test_a_score_changes_nothing_and_stretches_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = in_batches(*make_data())
    far = dict(zip(LEVELS, (1.0, 1.5, 0.0), strict=True))

    def use(given: HandedOver) -> Any:
        found = list(given.data)
        for one in found[:3]:
            given.trainer.train((one,), (0.05, 0.02, 0.05))
        before = trained_weights(given)
        held = [(found[3],)]
        scores = [given.trainer.score(held, s) for s in (None, [1.0] * 3, list(far.values()))]
        now = trained_weights(given)
        assert all(np.array_equal(now[path], before[path]) for path in now)
        more = given.trainer.train((found[3],), (0.05, 0.02, 0.05))
        return scores, now, more

    for memory in ("device", "host"):
        (plain, same, moved), now, more = drive(monkeypatch, use, make(), memory=memory)
        assert plain == same
        assert more == pytest.approx(plain, rel=1e-5)  # nothing here trains otherwise than it tests
        other = make()
        start = weights(other)
        for variable in other.trainable_variables:
            begin, stretch = start[variable.path], far[variable.path.split("/")[0]]
            variable.assign(begin + stretch * (now[variable.path] - begin))
        expected = other.evaluate(*batches[3], verbose=0)
        assert moved == pytest.approx(expected, rel=1e-5)
        assert moved != plain


def test_the_score_is_that_of_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def noisy() -> Any:
        keras.utils.set_random_seed(1)
        layers = [
            keras.layers.Dense(8, name="first"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, name="last"),
        ]
        model = keras.Sequential([keras.Input((6,)), *layers])
        model.compile("adam", loss=loss(), metrics=["accuracy"])
        return model

    x, y = make_data()
    weight = np.linspace(0.1, 3, len(x)).astype("float32")

    def use(given: HandedOver) -> Any:
        held = [(one,) for one in given.held_out]
        return given.trainer.score(held), given.bands.names

    score, names = drive(monkeypatch, use, noisy(), x, y, held_out=(x[:32], y[:32], weight[:32]))
    losses = [
        noisy().evaluate(
            *(x[i : i + 16], y[i : i + 16]), sample_weight=weight[i : i + 16], verbose=0
        )[0]
        for i in (0, 16)
    ]
    assert score == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(names) == 2  # a normalization belongs to what it follows


def test_weights_of_samples_and_classes_are_in_the_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = make_data()
    weight = np.linspace(0, 3, len(x)).astype("float32")
    classes = {0: 0.5, 1: 1.0, 2: 4.0}
    by_class = np.array([classes[int(c)] for c in y], "float32")

    def use(given: HandedOver) -> Any:
        return [np.asarray(keras.ops.convert_to_numpy(batch[2])) for batch in given.data]

    found = drive(monkeypatch, use, make(), x, y, sample_weight=weight)
    np.testing.assert_allclose(np.concatenate(found), weight)
    found = drive(monkeypatch, use, make(), x, y, class_weight=classes)
    np.testing.assert_allclose(np.concatenate(found), by_class)


@pytest.mark.parametrize("kind", ["generator", "PyDataset", "tf.data", "DataLoader"])
def test_examples_are_divided_whatever_the_data(kind: str) -> None:
    x, y = make_data(64)
    batches = in_batches(x, y)

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, index: int) -> Any:
            return batches[index]

    if kind == "generator":
        data: Any = ((batch for batch in batches),)
    elif kind == "PyDataset":
        data = (Batches(),)
    elif kind == "tf.data":
        tf = pytest.importorskip("tensorflow")
        data = (tf.data.Dataset.from_tensor_slices((x, y)).batch(16),)
    else:
        torch = pytest.importorskip("torch")
        tensors = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
        data = (torch.utils.data.DataLoader(tensors, batch_size=16),)
    options: dict[str, Any] = {"budget": 100, "progress": False, "shuffle": False}
    found = find_rates(make(), *data, **options)
    reference = find_rates(make(), x, y, batch_size=16, **options)
    assert found.rules == reference.rules
    scores = [probe.score for probe in found.probes]
    assert scores == pytest.approx([probe.score for probe in reference.probes], rel=1e-5)


def test_an_update_of_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)

    def use(given: HandedOver) -> Any:
        one, two, *_ = given.data
        assert given.options.accumulate == 2
        given.trainer.train((one, two), (0.1, 0.0, 0.2))
        return trained_weights(given)

    trained = drive(monkeypatch, use, make(optimizer))
    other = make(keras.optimizers.SGD(1.0))
    x, y = make_data()
    by_hand(other, [(0.1, 0.0, 0.2)], [(x[:32], y[:32])])
    for path, value in weights(other).items():
        np.testing.assert_allclose(trained[path], value, rtol=1e-5, atol=1e-7)


def test_names_of_nested_layers_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = keras.Input((6,))
    x = inputs
    for name in ("one", "two"):
        inner = keras.Sequential([keras.layers.Dense(4, name="dense")], name=name)
        x = inner(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    model.compile("adam", loss=loss())
    bands = drive(monkeypatch, lambda given: given.bands, model)
    assert len(set(bands.names)) == 3
    multiplied = LRMultiplier(keras.optimizers.Adam(1.0), bands.rules([0.25, 0.5, 1.0]))
    multiplied.build(model.trainable_variables)
    assert list(multiplied.learning_rates().values()) == [0.25] * 2 + [0.5] * 2 + [1.0] * 2


def test_the_rules_train_a_model() -> None:
    x, y = make_data(256)
    model = make("adam")
    found = find_rates(model, x, y, batch_size=16, horizon=30, **QUIET)
    again = find_rates(model, x, y, batch_size=16, horizon=30, **QUIET)
    assert found == again
    rate = found.learning_rate
    model.compile(LRMultiplier(keras.optimizers.Adam(rate), found.rules), loss=loss())
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on PyTorch")
def test_several_steps_per_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    def use(given: HandedOver) -> Any:
        one, two, *_ = given.data
        return given.trainer.train((one,), RATES[0]), given.trainer.score([(one,), (two,)])

    plain = drive(monkeypatch, use, make())
    several = drive(monkeypatch, use, make(steps_per_execution=3))
    assert several == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("how", ["fixed size", "asked"])
def test_batches_that_must_stay_whole_do(how: str) -> None:
    """A stateful layer takes batches of one size only; others may belong together."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(96, 6, 3)).astype("float32"), np.arange(96) % 2
    inputs = keras.Input((6, 3))
    if how == "fixed size":
        inputs = keras.Input(batch_shape=(16, 6, 3))
    model = keras.Sequential(
        [inputs, keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.Dense(2)]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    first = {x[n, 0, 0].tobytes(): n // 16 for n in range(96)}
    sizes = []

    def together(batches: Any) -> None:
        for images, *_ in batches:
            batch = keras.ops.convert_to_numpy(images)
            sizes.append(len(batch))
            assert len({first[one[0, 0].tobytes()] for one in batch}) == 1

    used = BandsTrainer.score

    def score(self: Any, batches: Any, stretch: Any = None) -> float:
        together(one for batch in batches for one in batch)
        return used(self, batches, stretch)

    options = {"divide": "batches"} if how == "asked" else {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BandsTrainer, "score", score)
        found = find_rates(model, x, y, batch_size=16, shuffle=False, **options, **QUIET)
    assert found.probes
    assert set(sizes) == {16}


def test_a_model_may_call_something_else_its_inputs() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inputs = ["image", "mask"]
            self.low, self.high = keras.layers.Dense(4), keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.high(self.low(x))

    x, y = make_data()
    model = Own()
    model.compile("adam", loss())
    model(x[:1])
    assert find_rates(model, x, y, **QUIET).probes
