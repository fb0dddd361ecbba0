"""An optimizer like the model's, whose bands of weights each have a rate that a search can set.

It is an ``LRMultiplier`` whose multipliers read a variable of its own, so that they are part of the
state of a compiled step, and setting them compiles nothing again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import keras
from keras import Variable, ops
from keras.optimizers import Optimizer

from layerwise.errors import FinderError
from layerwise.finder import Bands, rules_to_search
from layerwise.keras._finder.base_rate import check_base_rate
from layerwise.keras._internals.optimizer import inner_optimizer, trained_variables
from layerwise.keras._internals.tensorflow import where_fit_builds
from layerwise.keras._internals.values import Step, Tensor, copy_of
from layerwise.keras._moving.factors import Factors
from layerwise.keras._optimizer.loss_scale import LossScaleOptimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier, specs_of, to_search_with
from layerwise.keras._optimizer.step_values import runs_on_host
from layerwise.keras._parameters import layers_of
from layerwise.multipliers import Layers, Plan


class BandFactors:
    """The factor of each band on the base rate, in a variable of an optimizer.

    Args:
        bands: How many bands there are.

    Attributes:
        variable: The variable.
        on_host: The same numbers, for PyTorch, which would wait for the device to read them.
    """

    variable: Variable

    def __init__(self, bands: int) -> None:
        self.on_host = [1.0] * bands

    def add_to(self, optimizer: LRMultiplier) -> None:
        """Make the variable, in a built optimizer that knows its factors: it is no state of it."""
        self.variable = optimizer.add_variable(
            shape=(len(self.on_host),),
            initializer="ones",
            aggregation="only_first_replica",
            name="band_factors",
        )

    def of_band(self, band: int) -> "BandFactor":
        """The multiplier of a band."""
        return BandFactor(self, band)


@dataclass(frozen=True, eq=False)
class BandFactor:
    """The multiplier of one band, as an ``LRMultiplier`` calls it."""

    factors: BandFactors
    band: int

    def __call__(self, step: Step) -> Tensor | float:
        if runs_on_host():
            return self.factors.on_host[self.band]
        value: Tensor = ops.convert_to_tensor(self.factors.variable)[self.band]
        return value


@dataclass(frozen=True)
class SearchedBands:
    """What a search has to know of the optimizer that it trains with.

    Attributes:
        bands: The bands.
        factors: Their factors on the base rate.
        band_of: The band of each weight that is in one, by ``id``.
    """

    bands: Bands
    factors: BandFactors
    band_of: Mapping[int, int]


@contextmanager
def rates_by_band(
    model: keras.Model, rules: Mapping[str, float] | None, layers: Layers | None, most_bands: int
) -> Iterator[SearchedBands]:
    """While the block runs, a model's optimizer is one with a rate for each band.

    The new one goes on from the state of the model's own, which is not touched. Hyperparameters
    that move and rules for weight decay are kept.

    Args:
        model: A compiled and built model, whose optimizer passes ``check_one_base_rate``.
        rules: Multipliers by name that are kept.
        layers: Levels from input to head; by default ``layers_of(model)``.
        most_bands: How many bands there may be.

    Raises:
        FinderError: The rules can't be used, or nothing is left to search for.
        MultiplierError: The rules or levels can't be used.
    """
    own = model.optimizer
    inner = inner_optimizer(own)
    levels = layers_of(model) if layers is None else layers
    wanted = rules_to_search(rules)
    with where_fit_builds(model):
        if isinstance(inner, LRMultiplier):
            made = to_search_with(inner, wanted, levels)
        else:
            made = LRMultiplier(inner, wanted, layers=levels)
        made.build(model.trainable_variables)
        plan = _with_distinct_names(made.plan())
        bands = Bands.of(plan, most_bands, rules)
        factors = BandFactors(len(bands.parameters))
        numbers = [bands.number_of(row.parameter) for row in plan.rows]
        made.use_factors(
            Factors(
                [
                    bands.fixed_of(row.parameter) if band is None else factors.of_band(band)
                    for row, band in zip(plan.rows, numbers, strict=True)
                ],
                decays=[row.decay for row in plan.rows] if plan.has_decay_rules else [],
            )
        )
        factors.add_to(made)
        outer = made if inner is own else _loss_scaled(own, made)
    variables = trained_variables(made)
    band_of = {id(v): n for v, n in zip(variables, numbers, strict=True) if n is not None}
    object.__setattr__(model, "optimizer", outer)  # Keras would track it
    try:
        yield SearchedBands(bands, factors, band_of)
    finally:
        object.__setattr__(model, "optimizer", own)


def check_one_base_rate(optimizer: Optimizer) -> None:
    """Raise if an optimizer has rates of its own for parts of the model, or no base rate.

    Raises:
        FinderError: It has several rates, or no base rate.
    """
    check_base_rate(optimizer)
    inner = inner_optimizer(optimizer)
    if isinstance(inner, LRMultiplier):
        rules = [spec.rules for spec in specs_of(inner) if spec.rules]
        if rules:
            raise FinderError(
                f"The optimizer has rules of its own, {rules[0]!r}, which the search would "
                "replace. Compile the model with the plain optimizer, and give as rules= what must "
                "keep its ratio."
            )


def _with_distinct_names(plan: Plan) -> Plan:
    """The plan, without short names unless all weights have one, and no two the same."""
    rows = [row.parameter for row in plan.rows]
    starts = {row.name.split(plan.separator)[0] for row in rows}
    short = [row.short for row in rows]
    usable = len(starts) == 1 and None not in short and len(set(short)) == len(short)
    if usable:
        return plan
    return replace(
        plan,
        rows=tuple(replace(row, parameter=replace(row.parameter, short=None)) for row in plan.rows),
    )


def _loss_scaled(like: Optimizer, inner: LRMultiplier) -> LossScaleOptimizer:
    """A built optimizer that scales the loss, from the state of another one."""
    made = LossScaleOptimizer(
        inner,
        initial_scale=like.initial_scale,
        dynamic_growth_steps=like.dynamic_growth_steps,
        name=like.name,
    )
    made.build(trained_variables(inner))
    made.step_counter.assign(copy_of(like.step_counter))
    made.dynamic_scale.assign(copy_of(like.dynamic_scale))
    return made
