"""The private parts of Keras that Layerwise leans on, all named in this file.

Tried on Keras 3.14 and 3.15. How each is used is said where it is used:

- the methods in ``HOOKS``, wrapped in ``_update.py``;
- the state of an optimizer, in its attributes: ``_variables``, ``_trainable_variables``,
  ``_iterations``, ``_learning_rate``, ``_model_variables_moving_average``,
  ``_distribution_strategy`` on TensorFlow;
- the loss tracker and the compiled metrics of a model, in ``TRACKER`` and ``METRICS``, which a
  training step asks in ``_own_values.py``, and ``train_function``, which ``fit`` calls, in
  ``_tap.py``; on JAX with a state whose third part is the optimizer's;
- ``_post_build`` of a layer, after which its weights are marked, in ``_annotated.py``;
- ``_operations_by_depth`` of a functional model, in ``stages``.
"""

import inspect
import threading
from typing import Any

import keras

from layerwise.errors import OptimizerError, RecorderError

HOOKS = {
    "apply": ("grads", "trainable_variables"),
    "update_step": ("gradient", "variable", "learning_rate"),
    "_backend_apply_gradients": ("grads", "trainable_variables"),
    "_backend_update_step": ("grads", "trainable_variables", "learning_rate"),
    "_apply_weight_decay": ("variables",),
    "_get_current_learning_rate": (),
    "_get_variable_index": ("variable",),
    "_use_weight_decay": ("variable",),
    "_update_model_variables_moving_average": ("trainable_variables",),
    "_overwrite_model_variables_with_average_value": ("trainable_variables",),
}
"""The methods of ``keras.optimizers.Optimizer`` that are leaned on, with their arguments."""

TRACKER, METRICS = "_loss_tracker", "_compile_metrics"

_PIPELINE = ("apply", "_backend_apply_gradients", "stateless_apply")


def check_hooks(optimizer_class: type) -> None:
    """Raise unless the class updates its variables through the hooks that are wrapped here.

    Args:
        optimizer_class: A subclass of ``keras.optimizers.Optimizer``.

    Raises:
        OptimizerError: A hook is gone from this version of Keras, or the class goes around it.
    """
    for name, expected in HOOKS.items():
        method = getattr(optimizer_class, name, None)
        found = tuple(inspect.signature(method).parameters)[1:] if method else ()
        if method is None or len(found) != len(expected):
            raise OptimizerError(
                f"{optimizer_class.__name__}.{name}({', '.join(expected)}) is not there in Keras "
                f"{keras.__version__}, and Layerwise needs it (tried: Keras 3.14 and 3.15). "
                "Install a tried version, or report this version to Layerwise."
            )
    own_pipeline = [
        name
        for name in _PIPELINE
        if not any(
            vars(base).get(name) is inspect.getattr_static(optimizer_class, name)
            for base in keras.optimizers.Optimizer.__mro__
        )
    ]
    if own_pipeline:
        raise OptimizerError(
            f"{optimizer_class.__name__} has its own {own_pipeline[0]}(), so it is not known "
            "whether its updates come through the hooks that multipliers act through. If it "
            "wraps another optimizer, put LRMultiplier inside it: "
            f"{optimizer_class.__name__}(LRMultiplier(...)); otherwise override update_step() "
            "instead."
        )


def decays_weights(optimizer: Any) -> bool:
    """Whether the optimizer may have anything to decay: it has a rate, or a way of its own."""
    common = keras.optimizers.Optimizer._apply_weight_decay
    return optimizer.weight_decay is not None or optimizer._plain._apply_weight_decay is not common


def weight_decay_of(optimizer: Any, variable: Any) -> float | None:
    """The decay that an optimizer applies to a variable, or None."""
    if optimizer is None or not optimizer._use_weight_decay(variable):
        return None
    # Muon has a second one for the variables that it leaves to AdamW.
    with_adamw = getattr(optimizer, "_should_use_adamw", None)
    decay: float | None = (
        optimizer.adam_weight_decay
        if with_adamw is not None and with_adamw(variable)
        else optimizer.weight_decay
    )
    return decay


def stages(model: Any) -> list[list[Any]]:
    """The layers of a model in the order of the data; those side by side in it together."""
    by_depth = getattr(model, "_operations_by_depth", None)
    if by_depth is None or isinstance(model, keras.Sequential):
        return [[layer] for layer in model.layers]
    return [
        [operation for operation in by_depth[depth] if isinstance(operation, keras.Layer)]
        for depth in sorted(by_depth, reverse=True)
    ]


def assign_on_replicas(
    optimizer: Any, variables: list[Any], rule: Any, arguments: list[tuple[Any, ...]]
) -> None:
    """On TensorFlow, assign ``rule(variable, *arguments)`` on every replica of each variable."""
    import tensorflow as tf

    def assign(variable: Any, *args: Any) -> None:
        variable.assign(rule(variable, *args))

    def update(distribution: Any, variables: Any, arguments: Any) -> None:
        for variable, args in zip(variables, arguments, strict=True):
            distribution.extended.update(variable, assign, args=args, group=False)

    # What is mirrored is assigned from outside its replicas.
    tf.__internal__.distribute.interim.maybe_merge_call(
        update, optimizer._distribution_strategy, variables, arguments
    )


def check_trainer(model: Any) -> None:
    """Raise unless a compiled model trains in the way that per-batch values are read from.

    Args:
        model: What a callback is given.

    Raises:
        RecorderError: The model is not compiled, or this version of Keras works otherwise.
    """
    if not getattr(model, "compiled", False):
        raise RecorderError(f"The model {model!r} is not compiled: call model.compile() first.")
    for name in (TRACKER, METRICS, "train_function", "make_train_function", "train_step"):
        if not hasattr(model, name):
            raise RecorderError(
                f"{type(model).__name__}.{name} is not there in Keras {keras.__version__}, and "
                "recording each batch needs it (tried: Keras 3.14 and 3.15). Install a tried "
                "version, or report this version to Layerwise."
            )


def inner_optimizer(optimizer: Any) -> Any:
    """The optimizer inside Keras' own loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def rate_variable(optimizer: Any) -> Any:
    """The variable that holds an optimizer's base rate; None if a schedule or function gives it."""
    rate = getattr(inner_optimizer(optimizer), "_learning_rate", None)
    return rate if isinstance(rate, keras.Variable) else None


def batch_count(optimizer: Any) -> Any:
    """The variable that counts the batches of an optimizer (updates, but for accumulation)."""
    return inner_optimizer(optimizer)._iterations


def number_in(variable: Any) -> Any:
    """What a variable holds, read outside of any step."""
    value = variable.value
    if keras.backend.backend() == "tensorflow":
        return value.numpy()  # what tf.distribute mirrors has no other way
    return keras.ops.convert_to_numpy(value)


def in_training_state(optimizer: Any) -> dict[str, Any]:
    """Copies of rate and batch count within a step; on JAX they are outside, in its state."""
    if keras.backend.backend() == "jax":
        return {}
    rate = rate_variable(optimizer)
    now = {"batches": keras.ops.copy(batch_count(optimizer).value)}
    return now if rate is None else now | {"rate": keras.ops.copy(rate.value)}


def replica() -> int:
    """A number for the replica that a step is traced for: tf.distribute has a thread for each."""
    return threading.get_ident() if keras.backend.backend() == "tensorflow" else 0
