"""The base rate of an optimizer as one variable that a search can set."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import keras

from layerwise.errors import FinderError
from layerwise.keras._internals.optimizer import (
    base_rate_of,
    batch_count,
    batches_per_update,
    inner_optimizer,
    rate_in_variable,
)
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier, counts_of
from layerwise.keras._optimizer.rate_groups import values_by_group
from layerwise.keras._optimizer.step_values import evaluate_on_host


@contextmanager
def searchable_rate(model: keras.Model) -> Iterator[bool]:
    """While the block runs, the base rate is one variable, and no schedule acts on it.

    A variable takes the place of a schedule or function that gives the base rate, and the common
    schedule of an ``LRMultiplier`` is left out. What it counts beside updates stands still.

    Args:
        model: A compiled model; its optimizer may be built in the block.

    Yields:
        Whether a schedule or function that acts on the rate is left out meanwhile.

    Raises:
        FinderError: The optimizer has no base rate, or several.
    """
    check_base_rate(model.optimizer)
    with (
        _counts_standing_still(model.optimizer),
        _without_schedule(model.optimizer) as inside,
        rate_in_variable(model) as outside,
    ):
        yield inside or outside


def group_factors(model: keras.Model) -> dict[str, float]:
    """The factor of each group's rate on the base rate under an ``LRMultiplier`` now.

    Its common schedule is not part of it. Under another optimizer there are no groups.
    """
    inner = inner_optimizer(model.optimizer)
    if not isinstance(inner, LRMultiplier):
        return {}
    step, counts = int(number_in(batch_count(inner))) // batches_per_update(inner), inner.counts
    groups = values_by_group(inner.plan(), model.name)
    return {name: evaluate_on_host(value, step, counts) for name, value in groups.items()}


def check_base_rate(optimizer: keras.optimizers.Optimizer) -> None:
    """Raise unless an optimizer has one base rate.

    Raises:
        FinderError: It has none, or several.
    """
    inner = inner_optimizer(optimizer)
    try:
        inner.learning_rate  # noqa: B018  # Keras' MultiOptimizer raises
        known = base_rate_of(optimizer) is not None
    except Exception:
        known = False
    if not known:
        raise FinderError(
            f"{type(inner).__name__} has no base learning rate that a search could set. With "
            "layerwise.keras.LRMultiplier each layer keeps its rate in proportion to one base."
        )


def counts_more_than_updates(model: keras.Model) -> bool:
    """Whether the built optimizer counts tokens, say, which a search must not do."""
    inner = inner_optimizer(model.optimizer)
    return isinstance(inner, LRMultiplier) and bool(counts_of(inner).names)


@contextmanager
def _counts_standing_still(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """While the block runs, an ``LRMultiplier``, built or not, counts nothing but updates."""
    inner = inner_optimizer(optimizer)
    if not isinstance(inner, LRMultiplier):
        yield
        return
    counts = counts_of(inner)
    counts.still = True
    try:
        yield
    finally:
        counts.still = False


@contextmanager
def _without_schedule(optimizer: keras.optimizers.Optimizer) -> Iterator[bool]:
    """While the block runs, an ``LRMultiplier``, built or not, has no common schedule.

    Yields:
        Whether it had one.
    """
    inner = inner_optimizer(optimizer)
    if not isinstance(inner, LRMultiplier):
        yield False
        return
    multiplied, factors = inner._multiplied, inner._factors
    before = multiplied.specs, factors.schedule
    multiplied.specs = tuple(replace(spec, schedule=None) for spec in multiplied.specs)
    factors.schedule = None
    try:
        yield any(spec.schedule is not None for spec in before[0])
    finally:
        multiplied.specs, factors.schedule = before
