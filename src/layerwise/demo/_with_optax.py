"""The demo's network in plain JAX, trained with Optax in one compiled loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from layerwise.demo._digits import Digits
from layerwise.demo._network import (
    BACKBONE,
    BATCH,
    HEAD,
    Layer,
    Weights,
    batches_of,
    in_batches,
    weight_shapes,
)
from layerwise.finder import LRFinding
from layerwise.multipliers import Plan, Rules
from layerwise.optax import explain, find_lr, with_multipliers
from layerwise.recorder import Recorder
from layerwise.schedules import cosine

EPSILON = 1e-7  # as in Keras

# A dict of JAX keeps no order but the alphabet's; this is the network's.
LEVELS = (*(f"backbone/{layer.name}" for layer in BACKBONE), "head")


def params_of(weights: Weights) -> dict[str, Any]:
    """The weights as a tree of parameters."""
    each = iter(weights)
    made = {
        layer.name: {"kernel": jnp.asarray(next(each)), "bias": jnp.asarray(next(each))}
        for layer in (*BACKBONE, HEAD)
    }
    return {"head": made.pop(HEAD.name), "backbone": made}


def weights_of(params: dict[str, Any]) -> Weights:
    """The weights in a tree of parameters."""
    layers = [*(params["backbone"][layer.name] for layer in BACKBONE), params["head"]]
    return [np.asarray(layer[kind]) for layer in layers for kind in ("kernel", "bias")]


def network(params: dict[str, Any], x: Any) -> Any:
    """What the network says of images: shape (n, 10)."""
    for layer in BACKBONE:
        x = jax.nn.relu(_applied(layer, params["backbone"][layer.name], x))
    return _applied(HEAD, params["head"], x)


def _applied(layer: Layer, own: dict[str, Any], x: Any) -> Any:
    if layer.convolves:
        form = ("NHWC", "HWIO", "NHWC")
        made = jax.lax.conv_general_dilated(
            x, own["kernel"], (2, 2), "SAME", dimension_numbers=form
        )
        return made + own["bias"]
    return x.reshape(len(x), -1) @ own["kernel"] + own["bias"]


def loss_of(params: Any, batch: Any) -> Any:
    """The mean cross-entropy of a batch of images and labels."""
    images, labels = batch
    scores = network(params, images)
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


@dataclass(frozen=True, eq=False)
class OptaxTrainer:
    """All steps of a training in one compiled loop, for any start and base rate."""

    run: Callable[..., Any]
    rules: Rules
    steps: int

    def train(
        self,
        start: Weights,
        rate: float,
        digits: Digits,
        random: np.random.Generator,
        run: Path | None = None,
    ) -> Weights:
        """See ``Trainer``."""
        seen = in_batches(digits, self.steps, random)
        images = seen.images.reshape(self.steps, BATCH, *seen.images.shape[1:])
        labels = seen.labels.astype(np.int32).reshape(self.steps, BATCH)
        recorder = None if run is None else Recorder(run)
        began = time.time()
        params, losses = self.run(params_of(start), rate, (images, labels))
        losses = np.asarray(losses)  # waits for the whole loop
        if recorder is not None:
            # One compiled loop: when each step was done nobody knows, so they share the time.
            times = np.linspace(began, time.time(), self.steps)
            rates = rate * cosine(self.steps)(np.arange(self.steps))
            rows = zip(losses.tolist(), rates.tolist(), times.tolist(), strict=True)
            with recorder:
                recorder.log_many(
                    {"step": step, "loss": loss, "rate": rate, "time": at}
                    for step, (loss, rate, at) in enumerate(rows)
                )
        return weights_of(params)

    def find(
        self,
        start: Weights,
        digits: Digits,
        held_out: Digits,
        random: np.random.Generator,
        sweep: int,
    ) -> LRFinding:
        """See ``Trainer``."""
        return find_lr(
            loss_of,
            params_of(start),
            batches_of(in_batches(digits, sweep, random)),
            lambda rate: _optimizer(rate, self.rules),
            held_out=batches_of(held_out),
            steps=sweep,
            horizon=self.steps,
            progress=False,
        )


def _optimizer(rate: Any, rules: Rules, schedule: Any = None) -> Any:
    return with_multipliers(optax.adam(rate, eps=EPSILON), rules, schedule=schedule, layers=LEVELS)


class WithOptax:
    """The demo in plain JAX with Optax."""

    name = "optax"

    def trainer(self, rules: Rules, steps: int) -> OptaxTrainer:
        """See ``Framework``."""

        @jax.jit
        def run(params: Any, rate: Any, batches: Any) -> Any:
            optimizer = _optimizer(rate, rules, cosine(steps))

            def step(carried: Any, batch: Any) -> Any:
                params, state = carried
                loss, gradients = jax.value_and_grad(loss_of)(params, batch)
                updates, state = optimizer.update(gradients, state, params)
                return (optax.apply_updates(params, updates), state), loss

            (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), batches)
            return params, losses

        return OptaxTrainer(run, rules, steps)

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[Any]:
        """See ``Framework``."""
        return np.asarray(jax.jit(network)(params_of(weights), images))

    def plan(self, rules: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        return explain(
            params_of([np.zeros(shape, np.float32) for shape in weight_shapes()]),
            rules,
            learning_rate=rate,
            schedule=cosine(steps),
            steps=(steps // 2,),
            layers=LEVELS,
        )
