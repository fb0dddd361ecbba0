"""The base rate as one variable that a search can set, whatever the optimizer has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from layerwise.errors import FinderError
from layerwise.keras._internals.optimizer import inner_optimizer, rate_variable
from layerwise.keras._optimizer.rate_groups import groups_of
from layerwise.keras._optimizer.step_values import evaluate_on_host


def check_base_rate(optimizer: Any) -> None:
    """Raise unless the optimizer has one base rate.

    Raises:
        FinderError: It has several, or none.
    """
    inner = inner_optimizer(optimizer)
    try:
        inner.learning_rate  # noqa: B018  # Keras' MultiOptimizer raises
        known = hasattr(inner, "_learning_rate")
    except Exception:
        known = False
    if not known:
        raise FinderError(
            f"{type(inner).__name__} has no base learning rate that a search could set. With "
            "layerwise.keras.LRMultiplier each layer keeps its rate in proportion to one base."
        )


def give_variable(optimizer: Any) -> bool:
    """Put a variable in the place of a schedule or function of the base rate.

    The caller puts the optimizer's attributes back.

    Returns:
        Whether there was one.
    """
    if rate_variable(optimizer) is not None:
        return False
    inner = inner_optimizer(optimizer)
    with keras.name_scope(inner.name, caller=inner):
        inner._learning_rate = keras.Variable(
            0.0,
            name="learning_rate",
            dtype=keras.backend.floatx(),
            trainable=False,
            aggregation="only_first_replica",
        )
    return True


@contextmanager
def without_schedule(optimizer: Any) -> Iterator[bool]:
    """While the block runs, the common schedule of a built ``LRMultiplier`` is 1 at every step.

    Yields:
        Whether there is one.
    """
    factors = getattr(inner_optimizer(optimizer), "_factors", None)
    if factors is None:
        yield False
        return
    before, factors.schedule = factors.schedule, None
    try:
        yield before is not None
    finally:
        factors.schedule = before


def group_factors(model: Any) -> dict[str, float]:
    """By what an ``LRMultiplier`` multiplies each group's rate now, its schedule left out."""
    groups = groups_of(model)
    if groups is None:
        return {}
    step = int(keras.ops.convert_to_numpy(inner_optimizer(model.optimizer).iterations))
    return {name: evaluate_on_host(value, step) for name, value in groups.values.items()}
