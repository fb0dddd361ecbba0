"""The private parts of Keras' optimizers that Layerwise leans on. Tried on Keras 3.14 and 3.15."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from layerwise.errors import OptimizerError
from layerwise.keras._internals.tensorflow import where_fit_builds

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


def base_rate_of(optimizer: keras.optimizers.Optimizer) -> object:
    """What gives an optimizer its base rate: a variable, a schedule or a function, else None."""
    return getattr(inner_optimizer(optimizer), "_learning_rate", None)


@contextmanager
def overriding_rate(
    optimizer: keras.optimizers.Optimizer, rate: keras.optimizers.schedules.LearningRateSchedule
) -> Iterator[None]:
    """While the block runs, the optimizer's updates ask ``rate`` for their base rate.

    Args:
        optimizer: The optimizer, also inside Keras' loss scaling.
        rate: A function of the batches that the optimizer has counted.
    """
    inner, before = inner_optimizer(optimizer), base_rate_of(optimizer)
    object.__setattr__(inner, "_learning_rate", rate)  # Keras would track it
    try:
        yield
    finally:
        object.__setattr__(inner, "_learning_rate", before)


@contextmanager
def rate_in_variable(model: keras.Model) -> Iterator[bool]:
    """While the block runs, a variable gives the base rate of the model's optimizer.

    Yields:
        Whether a new one had to take the place of a schedule or function.
    """
    inner, before = inner_optimizer(model.optimizer), base_rate_of(model.optimizer)
    if isinstance(before, keras.Variable):
        yield False
        return
    with where_fit_builds(model), keras.name_scope(inner.name, caller=inner):
        inner._learning_rate = variable = keras.Variable(
            0.0,
            name="learning_rate",
            dtype=keras.backend.floatx(),
            trainable=False,
            aggregation="only_first_replica",
        )
    try:
        yield True
    finally:
        inner._tracker.untrack(variable)
        object.__setattr__(inner, "_learning_rate", before)


def accumulated_gradients(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """The sums of an update that is not complete yet, under gradient accumulation."""
    return [v for v in inner_optimizer(optimizer)._accumulated_gradients if v is not None]


def batches_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """How many batches make one update: more than 1 under gradient accumulation."""
    return inner_optimizer(optimizer).gradient_accumulation_steps or 1
