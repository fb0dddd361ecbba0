"""The demo's network in plain JAX, trained with Optax in one compiled loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from layerwise.demo._digits import Digits
from layerwise.demo._network import BACKBONE, BATCH, HEAD, Layer, Weights, batches_of, new_weights
from layerwise.finder import LRFinding, RatesFinding
from layerwise.multipliers import Plan, Rules
from layerwise.optax import explain, find_lr, find_rates, with_multipliers
from layerwise.recorder import Recorder
from layerwise.schedules import Schedule, cosine

EPSILON = 1e-7  # as in Keras

Params: TypeAlias = dict[str, Any]
"""The network's parameters: kernel and bias of ``head``, and of each layer of ``backbone``."""

# JAX sorts dicts by their keys; this is the order of the network.
LEVELS = (*(f"backbone/{layer.name}" for layer in BACKBONE), "head")


def params_of(weights: Weights) -> Params:
    """The weights as a tree of parameters."""
    each = iter(weights)
    made = {
        layer.name: {"kernel": jnp.asarray(next(each)), "bias": jnp.asarray(next(each))}
        for layer in (*BACKBONE, HEAD)
    }
    return {"head": made.pop(HEAD.name), "backbone": made}


def weights_of(params: Params) -> Weights:
    """The weights of a tree of parameters."""
    layers = [*(params["backbone"][layer.name] for layer in BACKBONE), params["head"]]
    return [np.asarray(layer[kind]) for layer in layers for kind in ("kernel", "bias")]


def network(params: Params, x: jax.Array) -> jax.Array:
    """The logits that the network gives for images, shape ``(n, 10)``."""
    for layer in BACKBONE:
        x = jax.nn.relu(_applied(layer, params["backbone"][layer.name], x))
    return _applied(HEAD, params["head"], x)


def _applied(layer: Layer, own: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    if layer.convolves:
        form = ("NHWC", "HWIO", "NHWC")
        made = jax.lax.conv_general_dilated(
            x, own["kernel"], (2, 2), "SAME", dimension_numbers=form
        )
        return made + own["bias"]
    return x.reshape(len(x), -1) @ own["kernel"] + own["bias"]


def loss_of(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    """The mean cross-entropy of a batch of images and labels."""
    images, labels = batch
    scores = network(params, images)
    losses: jax.Array = optax.softmax_cross_entropy_with_integer_labels(scores, labels)
    return losses.mean()


@dataclass(frozen=True, eq=False)
class OptaxTrainer:
    """All steps of a training in one compiled loop, for any start and base rate."""

    run: Callable[..., tuple[Params, jax.Array]]
    rules: Rules
    steps: int

    def train(self, start: Weights, rate: float, seen: Digits, run: Path | None = None) -> Weights:
        """See ``Trainer``."""
        images = seen.images.reshape(self.steps, BATCH, *seen.images.shape[1:])
        labels = seen.labels.astype(np.int32).reshape(self.steps, BATCH)
        recorder = None if run is None else Recorder(run)
        began = time.time()
        params, computed = self.run(params_of(start), rate, (images, labels))
        losses = np.asarray(computed)  # waits for the whole loop
        if recorder is not None:
            # Nobody knows when a step of a compiled loop was done, so they share the time evenly.
            times = np.linspace(began, time.time(), self.steps)
            rates = rate * cosine(self.steps)(np.arange(self.steps))
            rows = zip(losses.tolist(), rates.tolist(), times.tolist(), strict=True)
            with recorder:
                recorder.log_many(
                    {"step": step, "loss": loss, "rate": rate, "time": at}
                    for step, (loss, rate, at) in enumerate(rows)
                )
        return weights_of(params)

    def find(self, start: Weights, seen: Digits, held_out: Digits, sweep: int) -> LRFinding:
        """See ``Trainer``."""
        return find_lr(
            loss_of,
            params_of(start),
            batches_of(seen),
            lambda rate: _optimizer(rate, self.rules),
            held_out=batches_of(held_out),
            steps=sweep,
            horizon=self.steps,
            progress=False,
        )


def _optimizer(
    rate: float | jax.Array, rules: Rules, schedule: Schedule | None = None
) -> optax.GradientTransformation:
    return with_multipliers(optax.adam(rate, eps=EPSILON), rules, schedule=schedule, layers=LEVELS)


class WithOptax:
    """The demo in plain JAX with Optax."""

    name = "optax"

    def trainer(self, rules: Rules, steps: int) -> OptaxTrainer:
        """See ``Framework``."""

        @jax.jit
        def run(
            params: Params, rate: jax.Array, batches: tuple[jax.Array, jax.Array]
        ) -> tuple[Params, jax.Array]:
            optimizer = _optimizer(rate, rules, cosine(steps))

            def step(
                carried: tuple[Params, optax.OptState], batch: tuple[jax.Array, jax.Array]
            ) -> tuple[tuple[Params, optax.OptState], jax.Array]:
                params, state = carried
                loss, gradients = jax.value_and_grad(loss_of)(params, batch)
                updates, state = optimizer.update(gradients, state, params)
                return (optax.apply_updates(params, updates), state), loss

            (params, _), losses = jax.lax.scan(step, (params, optimizer.init(params)), batches)
            return params, losses

        return OptaxTrainer(run, rules, steps)

    def find_rates(self, start: Weights, few: Digits, steps: int, budget: int) -> RatesFinding:
        """See ``Framework``."""
        return find_rates(
            loss_of,
            params_of(start),
            batches_of(few),
            lambda rate: optax.adam(rate, eps=EPSILON),
            layers=LEVELS,
            budget=budget,
            horizon=steps,
            progress=False,
        )

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """See ``Framework``."""
        return np.asarray(jax.jit(network)(params_of(weights), images))

    def plan(self, rules: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        return explain(
            params_of(new_weights(0)),
            rules,
            learning_rate=rate,
            schedule=cosine(steps),
            steps=(steps // 2,),
            layers=LEVELS,
        )
