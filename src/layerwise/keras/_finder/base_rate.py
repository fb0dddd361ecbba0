"""The base rate of an optimizer as one variable that a search can set."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import keras

from layerwise.errors import FinderError
from layerwise.keras._finder.restore import AttributeSnapshot
from layerwise.keras._internals.optimizer import (
    base_rate_of,
    batch_count,
    batches_per_update,
    give_rate_variable,
    inner_optimizer,
    optimizer_parts,
    rate_variable,
)
from layerwise.keras._internals.tensorflow import where_fit_builds
from layerwise.keras._internals.values import number_in
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._optimizer.rate_groups import RateGroups
from layerwise.keras._optimizer.step_values import evaluate_on_host


@dataclass(frozen=True)
class SearchableRate:
    """The base rate of a model's optimizer while a search sets it.

    Attributes:
        model: The model.
        lifted: Whether a schedule or function that acts on the rate is left out meanwhile.
    """

    model: keras.Model
    lifted: bool

    def group_factors(self) -> dict[str, float]:
        """The factor of each group's rate on the base rate; the model must be built."""
        return group_factors(self.model)


@contextmanager
def searchable_rate(model: keras.Model) -> Iterator[SearchableRate]:
    """While the block runs, the base rate is one variable, and no schedule acts on it.

    A variable takes the place of a schedule or function that gives the base rate, and the common
    schedule of an ``LRMultiplier`` is left out. Afterwards the optimizer is as it was, but for the
    values of its variables; if the block built it, it is unbuilt again.

    Args:
        model: A compiled model.

    Raises:
        FinderError: The optimizer has no base rate, or several.
    """
    optimizer = model.optimizer
    _check_base_rate(optimizer)
    inner = inner_optimizer(optimizer)
    multiplied = isinstance(inner, LRMultiplier)
    ours = [inner._multiplied, inner._factors] if multiplied else []
    before = AttributeSnapshot([*optimizer_parts(optimizer), *ours])
    try:
        lifted = multiplied and _lift_schedule(inner)
        if rate_variable(optimizer) is None:
            lifted = True
            with where_fit_builds(model):
                give_rate_variable(optimizer)
        yield SearchableRate(model, lifted)
    finally:
        before.put_back()


def group_factors(model: keras.Model) -> dict[str, float]:
    """The factor of each group's rate on the base rate under an ``LRMultiplier`` now.

    Its common schedule is not part of it. Under another optimizer there are no groups.
    """
    inner = inner_optimizer(model.optimizer)
    if not isinstance(inner, LRMultiplier):
        return {}
    step = int(number_in(batch_count(inner))) // batches_per_update(inner)
    groups = RateGroups(inner.plan(), model.name)
    return {name: evaluate_on_host(value, step) for name, value in groups.values.items()}


def _check_base_rate(optimizer: keras.optimizers.Optimizer) -> None:
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


def _lift_schedule(optimizer: LRMultiplier) -> bool:
    """Leave the common schedule out, whether the optimizer is built or not; was there one?"""
    multiplied = optimizer._multiplied
    scheduled = any(spec.schedule is not None for spec in multiplied.specs)
    multiplied.specs = tuple(replace(spec, schedule=None) for spec in multiplied.specs)
    optimizer._factors.schedule = None
    return scheduled
