"""All that a search may touch and must leave as it was, as one value that can be compared."""

import random
from typing import Any

import keras
import numpy as np

from layerwise.keras._internals.random_states import global_seed_generator
from layerwise.keras._internals.tensorflow import tensorflow_op_seeds


def _value(variable: Any) -> bytes:
    return np.asarray(keras.ops.convert_to_numpy(variable.value)).tobytes()


def everything(model: Any) -> dict[str, Any]:
    """Variables, flags and random states of a model and its process."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    seeds = global_seed_generator()
    state: dict[str, Any] = {
        "weights": [_value(v) for v in model.variables],
        "optimizer": [_value(v) for v in optimizer.variables],
        "metrics": [_value(v) for v in model.metrics_variables],
        "objects": [id(v) for v in (*model.variables, *optimizer.variables)],
        "built": (model.built, optimizer.built, inner.built, len(model.metrics)),
        "rate": inner._learning_rate,
        "attributes": sorted(vars(inner)),
        "stop_training": model.stop_training,
        "own attributes": sorted(vars(model)),
        "python": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],
        "keras": None if seeds is None else _value(seeds.state),
    }
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        state["torch"] = torch.get_rng_state().numpy().tobytes()
        state["modes"] = [module.training for module in model.modules()]
        gradients = [v.value.grad for v in model.trainable_variables]
        state["gradients"] = [None if g is None else g.numpy().tobytes() for g in gradients]
        state["gradient objects"] = [id(gradient) for gradient in gradients]
        state["hooks"] = [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()]
    elif backend == "tensorflow":
        seeds = tensorflow_op_seeds()
        state["op seeds"] = None if seeds is None else seeds.getstate()
    return state
