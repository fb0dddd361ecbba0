"""The demo's network under Keras, compiled once and trained many times."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from layerwise.demo._digits import SIDE, Digits
from layerwise.demo._network import BACKBONE, BATCH, HEAD, Layer, Weights
from layerwise.finder import LRFinding, RatesFinding
from layerwise.keras import LRMultiplier, Recorder, explain, find_lr, find_rates
from layerwise.multipliers import Plan, Rules
from layerwise.schedules import cosine


def network() -> keras.Model:
    """A backbone of three strided convolutions and a dense layer, and a head."""
    convolutions = [_made(layer) for layer in BACKBONE if layer.convolves]
    dense = [_made(layer, activation="relu") for layer in BACKBONE if not layer.convolves]
    inputs = keras.Input((SIDE, SIDE, 1))
    backbone = keras.Sequential([inputs, *convolutions, layers.Flatten(), *dense], name="backbone")
    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), backbone, _made(HEAD)], name="network")


def _made(layer: Layer, activation: str | None = None) -> keras.Layer:
    if layer.convolves:
        return layers.Conv2D(
            layer.shape[-1], 3, strides=2, padding="same", activation="relu", name=layer.name
        )
    return layers.Dense(layer.shape[-1], activation=activation, name=layer.name)


@dataclass(frozen=True, eq=False)
class KerasTrainer:
    """A compiled model, and the state that its optimizer had when it was new.

    Weights, optimizer state and base rate are variables, so another start, rate or data compiles
    nothing again.
    """

    model: keras.Model
    steps: int
    new: tuple[NDArray[Any], ...]

    def train(self, start: Weights, rate: float, seen: Digits, run: Path | None = None) -> Weights:
        """See ``Trainer``."""
        self._start(start)
        self.model.optimizer.learning_rate = rate
        self.model.fit(
            seen.images,
            seen.labels,
            batch_size=BATCH,
            shuffle=False,
            verbose=0,
            callbacks=[] if run is None else [Recorder(run)],
        )
        trained: Weights = self.model.get_weights()
        return trained

    def find(self, start: Weights, seen: Digits, held_out: Digits, sweep: int) -> LRFinding:
        """See ``Trainer``."""
        self._start(start)
        return find_lr(
            self.model,
            seen.images,
            seen.labels,
            held_out=(held_out.images, held_out.labels),
            batch_size=BATCH,
            shuffle=False,
            steps=sweep,
            horizon=self.steps,
            progress=False,
        )

    def _start(self, weights: Weights) -> None:
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, self.new, strict=True):
            variable.assign(value)


class WithKeras:
    """The demo under Keras, on the backend that it has in this process."""

    def __init__(self) -> None:
        self.name: str = keras.backend.backend()
        self._scorer = network()  # one for all weights, so that each size of data compiles once
        self._searched = network()
        self._searched.compile(
            keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )

    def trainer(self, rules: Rules, steps: int) -> KerasTrainer:
        """See ``Framework``."""
        model = network()
        optimizer = LRMultiplier(keras.optimizers.Adam(), rules, schedule=cosine(steps))
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        new = tuple(keras.ops.convert_to_numpy(variable).copy() for variable in optimizer.variables)
        return KerasTrainer(model, steps, new)

    def find_rates(self, start: Weights, few: Digits, steps: int, budget: int) -> RatesFinding:
        """See ``Framework``."""
        self._searched.set_weights(start)
        return find_rates(
            self._searched,
            few.images,
            few.labels,
            batch_size=BATCH,
            shuffle=False,  # the search draws the order itself, the same in every run
            budget=budget,
            horizon=steps,
            progress=False,
        )

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Framework``."""
        self._scorer.set_weights(weights)
        predict = self._scorer.predict
        scores: NDArray[np.float32] = predict(images, batch_size=len(images), verbose=0)
        return scores

    def plan(self, rules: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        optimizer, schedule = keras.optimizers.Adam(rate), cosine(steps)
        return explain(
            network(), rules, optimizer=optimizer, schedule=schedule, steps=(steps // 2,)
        )
