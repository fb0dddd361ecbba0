"""The base rate of one step: a function inside the compiled step, or a number put in before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from layerwise.errors import OptimizerError
from layerwise.keras._internals.optimizer import inner_optimizer, rate_variable
from layerwise.keras._optimizer.step_values import evaluate
from layerwise.multipliers import Value


class StepRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate as a function of applied updates, for one optimizer.

    Args:
        value: A schedule or callable of the step whose values are learning rates.
        optimizer: The optimizer that asks for it.
    """

    def __init__(self, value: Value, optimizer: Any) -> None:
        self.value = value
        self.per_update = inner_optimizer(optimizer).gradient_accumulation_steps or 1

    def fits(self, optimizer: Any) -> bool:
        """Whether another optimizer counts its updates in the same way."""
        return self.per_update == (inner_optimizer(optimizer).gradient_accumulation_steps or 1)

    def __call__(self, batches: Any) -> Any:
        """The rate after so many batches."""
        rate = evaluate(self.value, ops.floor_divide(batches, self.per_update))
        return ops.cast(rate, keras.backend.floatx())


@contextmanager
def overriding_rate(optimizer: Any, rate: StepRate) -> Iterator[None]:
    """While the block runs, a step of the optimizer asks this for its rate, not its variable."""
    inner = inner_optimizer(optimizer)
    before = inner._learning_rate
    object.__setattr__(inner, "_learning_rate", rate)
    try:
        yield
    finally:
        object.__setattr__(inner, "_learning_rate", before)


def check_settable(optimizer: Any) -> None:
    """Raise unless the optimizer has a base rate that can be set.

    Raises:
        OptimizerError: It was made with a schedule, which would be overruled.
    """
    if rate_variable(optimizer) is None:
        raise OptimizerError(
            f"The learning rate of {optimizer.name!r} is a schedule or function, so a callback "
            "can't set it. Give the optimizer a number, or leave the callback out."
        )


def set_rate(model: Any, arguments: tuple[Any, ...], rate: float) -> tuple[Any, ...]:
    """Set the base rate for one call of the train function; returns its arguments.

    On JAX the rate is a part of the state that the function is called with: it is exchanged
    there, and nothing is synced.
    """
    variable = rate_variable(model.optimizer)
    if keras.backend.backend() != "jax":
        variable.assign(rate)
        return arguments
    import jax

    state, *others = arguments
    place = [id(v) for v in model.optimizer.variables].index(id(variable))
    values = list(state[2])
    old = values[place]
    values[place] = jax.device_put(np.asarray(rate, old.dtype), old.sharding)
    return (*state[:2], values, *state[3:]), *others
