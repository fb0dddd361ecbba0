"""The demo's network in plain JAX, trained with Optax in one compiled loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from layerwise.demo._digits import Digits
from layerwise.demo._network import BACKBONE, BATCH, HEAD, Layer, Weights, in_batches, weight_shapes
from layerwise.multipliers import Plan, Rules
from layerwise.optax import explain, with_multipliers
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


@dataclass(frozen=True, eq=False)
class OptaxTrainer:
    """All steps of a training in one compiled loop, for any start and base rate."""

    run: Callable[..., Any]
    steps: int

    def train(
        self, start: Weights, rate: float, digits: Digits, random: np.random.Generator
    ) -> Weights:
        """See ``Trainer``."""
        seen = in_batches(digits, self.steps, random)
        images = seen.images.reshape(self.steps, BATCH, *seen.images.shape[1:])
        labels = seen.labels.astype(np.int32).reshape(self.steps, BATCH)
        return weights_of(self.run(params_of(start), rate, images, labels))


class WithOptax:
    """The demo in plain JAX with Optax."""

    name = "optax"

    def trainer(self, multipliers: Rules, steps: int) -> OptaxTrainer:
        """See ``Framework``."""

        def loss(params: Any, images: Any, labels: Any) -> Any:
            scores = network(params, images)
            return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()

        @jax.jit
        def run(params: Any, rate: Any, images: Any, labels: Any) -> Any:
            optimizer = with_multipliers(
                optax.adam(rate, eps=EPSILON),
                multipliers,
                schedule=cosine(steps),
                layers=LEVELS,
            )

            def step(carried: Any, batch: Any) -> Any:
                params, state = carried
                gradients = jax.grad(loss)(params, *batch)
                updates, state = optimizer.update(gradients, state, params)
                return (optax.apply_updates(params, updates), state), None

            first = (params, optimizer.init(params))
            (params, _), _ = jax.lax.scan(step, first, (images, labels))
            return params

        return OptaxTrainer(run, steps)

    def scores(self, weights: Weights, images: NDArray[np.float32]) -> NDArray[Any]:
        """See ``Framework``."""
        return np.asarray(jax.jit(network)(params_of(weights), images))

    def plan(self, multipliers: Rules, rate: float, steps: int) -> Plan:
        """See ``Framework``."""
        return explain(
            params_of([np.zeros(shape, np.float32) for shape in weight_shapes()]),
            multipliers,
            learning_rate=rate,
            schedule=cosine(steps),
            steps=(steps // 2,),
            layers=LEVELS,
        )
