"""find_rates keeps what an ``LRMultiplier`` has beside rules: hyperparameters, and weight decay."""

from collections.abc import Callable
from typing import Any

import keras
import pytest

from layerwise import linear
from layerwise.keras import LRMultiplier, annotate, find_rates
from tests._support.handed_over import HandedOver, use_instead
from tests._support.keras.networks import loss, make_data, make_network

LEVELS = ("low", "middle", "high")
RATES = [(0.1, 0.05, 0.02), (0.05, 0.1, 0.1), (0.02, 0.05, 0.1), (0.1, 0.1, 0.1)]
MOMENTUM = {"momentum": linear(4, 0.9, 0.1)}


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(1.0, momentum=0.9, weight_decay=2.0)


Around = Callable[[Any, dict[str, float]], LRMultiplier]

KEPT: dict[str, Around] = {
    "hyperparameters": lambda plain, rules: LRMultiplier(plain, rules, hyperparameters=MOMENTUM),
    "decay": lambda plain, rules: LRMultiplier(plain, rules, decay_rules={"low": 0.0, "high": 3.0}),
    "decay that moves": lambda plain, rules: LRMultiplier(
        plain, rules, decay_rules={"middle": linear(4)}
    ),
    "two around each other": lambda plain, rules: LRMultiplier(
        LRMultiplier(plain, rules, decay_rules={"low": 0.5}, hyperparameters=MOMENTUM),
        decay_rules={"low": 0.5, "middle": 2.0},
    ),
}


def make(around: Around, rules: dict[str, float]) -> Any:
    model = make_network()
    annotate(model.get_layer("middle"), 0.5)
    model.compile(around(sgd(), rules), loss=loss())
    return model


@pytest.mark.parametrize(
    ("kept", "built"), [*((kept, True) for kept in KEPT), ("two around each other", False)]
)
def test_probes_train_with_what_is_kept(
    kept: str, built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = make_data()
    batches = [(x[i : i + 16], y[i : i + 16]) for i in range(0, 64, 16)]

    def use(given: HandedOver) -> Any:
        assert given.bands.names == ("low", "high")  # the layer's own multiplier is kept
        data = list(given.data)
        rates = [(low, high) for low, _, high in RATES]
        return [given.trainer.train((b,), r) for b, r in zip(data, rates, strict=True)]

    use_instead(monkeypatch, "keras", use)
    model = make(KEPT[kept], {})
    if built:
        model.optimizer.build(model.trainable_variables)
    options: dict[str, Any] = {"batch_size": 16, "shuffle": False, "progress": False}
    losses = find_rates(model, x, y, budget=300, **options)

    expected, plain = [], []
    for around, found in ((KEPT[kept], expected), (LRMultiplier, plain)):
        other = make(around, {})
        for (low, _, high), batch in zip(RATES, batches, strict=True):
            base = max(low, high)
            rules = {"low": low / base, "high": high / base}
            state = other.optimizer.variables
            made = around(sgd(), rules)
            made.build(other.trainable_variables)
            for mine, its in zip(made.variables, state, strict=False):
                mine.assign(its)
            made.learning_rate = base
            other.compile(made, loss=loss())
            found.append(float(other.train_on_batch(*batch)))
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses != pytest.approx(plain, rel=1e-4)
