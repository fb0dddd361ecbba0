"""The base rate as one variable that a search can set, whatever the optimizer has."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from layerwise.errors import FinderError
from layerwise.keras._hooks import inner_optimizer, rate_variable


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


def is_scheduled(optimizer: Any) -> bool:
    """Whether a schedule or function would stand between the base rate and the weights."""
    factors = getattr(inner_optimizer(optimizer), "_factors", None)
    scheduled = factors is not None and factors.schedule is not None
    return scheduled or rate_variable(optimizer) is None


def give_variable(optimizer: Any) -> None:
    """Put a variable in the place of a schedule or function of the base rate.

    The caller puts the optimizer's attributes back.
    """
    if rate_variable(optimizer) is not None:
        return
    inner = inner_optimizer(optimizer)
    with keras.name_scope(inner.name, caller=inner):
        inner._learning_rate = keras.Variable(
            0.0,
            name="learning_rate",
            dtype=keras.backend.floatx(),
            trainable=False,
            aggregation="only_first_replica",
        )


@contextmanager
def without_schedule(optimizer: Any) -> Iterator[None]:
    """While the block runs, the common schedule of an ``LRMultiplier`` is 1 at every step."""
    factors = getattr(inner_optimizer(optimizer), "_factors", None)
    if factors is None:
        yield
        return
    before, factors.schedule = factors.schedule, None
    try:
        yield
    finally:
        factors.schedule = before
