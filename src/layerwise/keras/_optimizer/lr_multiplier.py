"""LRMultiplier: any Keras optimizer, with a learning rate for each variable."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import SupportsFloat

import keras
from keras import Variable
from keras.optimizers import Optimizer

from layerwise.errors import OptimizerError
from layerwise.keras._annotations import note_all_saved
from layerwise.keras._by_metric.plateau_variables import PlateauVariables
from layerwise.keras._internals.classes import become, unpickler
from layerwise.keras._internals.optimizer import (
    Rate,
    check_hooks,
    rate_variable,
    trained_variables,
)
from layerwise.keras._internals.values import copy_of
from layerwise.keras._optimizer.clone import (
    Identifier,
    as_optimizer,
    clone_optimizer,
    optimizer_config,
)
from layerwise.keras._optimizer.factors import Factors
from layerwise.keras._optimizer.plan import plan_of, rates_now, with_rates
from layerwise.keras._optimizer.saved_weights import SavedWeights
from layerwise.keras._optimizer.step_values import outside_of_graphs
from layerwise.keras._optimizer.update import MultipliedUpdate
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.keras._schedule import as_learning_rate, rate_error
from layerwise.multipliers import Layers, Plan, Rules, RuleSpec, StepValue, Value
from layerwise.schedules import Decisions, PlateauEvent


class _Multiplied:
    """The rules of an optimizer; a plain object, so that no backend tracks it.

    Attributes:
        specs: The rules, the innermost first.
        source: The built optimizer whose state is to be taken over, if any.
        saved: The weights that the rules were resolved for before they were saved, if they were.
        plan: What the rules mean for the weights, when these are known.
        plateaus: What metrics have decided.
        alone: Whether the optimizer is being pickled without a model.
    """

    def __init__(
        self,
        specs: tuple[RuleSpec, ...],
        source: Optimizer | None,
        saved: SavedWeights | None = None,
    ) -> None:
        self.specs = specs
        self.source = source
        self.saved = saved
        self.plan: Plan | None = None
        self.plateaus = PlateauVariables()
        self.alone = False

    def plan_for(self, variables: Sequence[Variable], optimizer: Optimizer) -> Plan:
        """What the rules mean for these weights."""
        if self.saved is not None:
            self.saved.restore(variables)
        return plan_of(variables, optimizer, self.specs)

    def weights(self) -> SavedWeights | None:
        """The weights that the rules are resolved for, or were when they were saved."""
        if self.plan is None:
            return self.saved
        return SavedWeights.of([row.parameter for row in self.plan.rows])


@keras.saving.register_keras_serializable(package="layerwise")
class LRMultiplier(MultipliedUpdate):
    r"""Any Keras optimizer, with a learning rate for each variable.

    The optimizer sees, for variable $v$ at step $t$ (updates already applied),

    $$\eta_v(t) = \text{learning\_rate} \cdot \text{schedule}(t) \cdot m_v(t)$$

    and nothing else of it changes: training equals one separate optimizer for each rate. A
    multiplier of 0 freezes: the weight and its optimizer state stay as they are, bit for bit.
    The result *is* an optimizer of the given class with the same variables in the same order,
    so files saved with the plain optimizer load into it, and back.

    Args:
        optimizer: An identifier (``"adam"``), a config, or an instance of any Keras optimizer.
            An instance is not changed: a copy is made from its config. If it has been built, its
            state is taken over, and it must have been built on the same variables.
        rules: Rules by name of the variable (``variable.path``, such as
            ``backbone/conv/kernel``; the model's name may be left out): a mapping from key to
            number, schedule or callable of the step, a strategy such as ``layer_decay(0.75)``, or
            a sequence of these. Without a matching rule the multiplier is 1.
        schedule: A factor on the base rate for all variables: a schedule or callable of the step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies, such as ``layers_of(model)``; by
            default they are read from the variables' names and order.

    Returns:
        An optimizer for ``model.compile`` or your own training loop.

    Raises:
        OptimizerError: Not an optimizer, or one that multipliers can't act through.
        MultiplierError: A value, rule, level or match mode that can't be used.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.

    Examples:
        >>> import keras, numpy
        >>> from layerwise import warmup, cosine
        >>> from layerwise.keras import LRMultiplier
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(8, name="backbone"),
        ...         keras.layers.Dense(1, name="head"),
        ...     ]
        ... )
        >>> optimizer = LRMultiplier(
        ...     keras.optimizers.Adam(1e-3), {"backbone": 0.1}, schedule=warmup(10) >> cosine(90)
        ... )
        >>> model.compile(optimizer, loss="mse")
        >>> _ = model.fit(numpy.ones((32, 4)), numpy.ones((32, 1)), epochs=5, verbose=0)
        >>> {name: round(rate, 6) for name, rate in optimizer.learning_rates().items()}
        ... # doctest: +ELLIPSIS
        {'.../backbone/kernel': 5e-05, '.../backbone/bias': 5e-05, '.../head/kernel': 0.0005, ...}

    Source: rules by longest matching prefix as in ``keras-lr-multiplier``; the per-layer rate
    itself goes back to Caffe's ``lr_mult``.
    """

    def __new__(
        cls,
        optimizer: Identifier,
        rules: Rules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: Layers | None = None,
    ) -> "LRMultiplier":
        source = as_optimizer(optimizer)
        return _multiplied(source, RuleSpec(rules, schedule, match, strict, layers))

    def __init__(
        self,
        optimizer: Identifier,
        rules: Rules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: Layers | None = None,
    ) -> None:
        """Everything is done in ``__new__``, which knows the class that the result has."""

    def build(self, variables: list[Variable]) -> None:
        if self.built:
            return
        source = self._multiplied.source
        if source is not None:
            known = trained_variables(source)
            if [id(v) for v in known] != [id(v) for v in variables]:
                raise OptimizerError(
                    f"The optimizer {source.name!r} was built on {len(known)} other variables "
                    f"than the {len(variables)} it is used for now, and its state can't be "
                    "theirs. Make a new optimizer, for example "
                    f"LRMultiplier({_plain_class(type(source)).__name__}(...), ...)."
                )
        plan = self._multiplied.plan_for(variables, self)
        super().build(variables)
        plain = len(self.variables)
        plateaus = self._multiplied.plateaus = PlateauVariables(self, plan)
        plan = plateaus.live(plan)
        self.use_factors(Factors([row.value for row in plan.rows], plan.schedule))
        self._multiplied.plan = plan
        if source is not None:
            with outside_of_graphs():
                theirs = source.variables
                if isinstance(source, LRMultiplier):
                    theirs = theirs[: len(theirs) - len(source._multiplied.plateaus.variables)]
                    plateaus.take_over(source._multiplied.plateaus)
                for mine, its in zip(self.variables[:plain], theirs, strict=True):
                    mine.assign(copy_of(its))
            self._multiplied.source = None

    @property
    def learning_rate(self) -> Variable:
        """The base rate: read, set, or driven by a callback as with any optimizer."""
        return self.rate_now()

    @learning_rate.setter
    def learning_rate(self, value: float | Rate) -> None:
        try:
            Optimizer.learning_rate.fset(self, as_learning_rate(value))
        except Exception as error:
            if rate_variable(self) is None:
                raise  # the optimizer was made with a schedule, and Keras says so
            raise rate_error(self.name, value) from error

    def report(self, metrics: Mapping[str, SupportsFloat] | SupportsFloat) -> list[PlateauEvent]:
        """Report metrics to the rules that they decide; in ``fit``, ``ReportMetrics`` does it.

        What is decided counts from the next update on, is saved with the optimizer's variables,
        and compiles nothing again.

        Args:
            metrics: The metrics by name, or a number if only one is watched. Others are ignored.

        Returns:
            What happened, for each plateau whose metric was reported.

        Raises:
            ScheduleError: No metric decides anything here, none that is watched was reported, or
                one is no number.
        """
        return self._multiplied.plateaus.report(metrics)

    @property
    def decisions(self) -> Decisions:
        """What reports of metrics have decided so far."""
        self._multiplied.plateaus.read()
        return self._multiplied.plateaus.decisions

    def decided(self, value: Value) -> Value:
        """A multiplier or schedule of an unbuilt plan as metrics have decided by now."""
        decided: Value = self._multiplied.plateaus.decisions.applied_to(value)
        return decided

    def load_own_variables(self, store: Mapping[str, object]) -> None:
        """Called by Keras to load a file, which may be that of a plain optimizer."""
        plateaus = self._multiplied.plateaus
        plain = self.variables[: len(self.variables) - len(plateaus.variables)]
        if plateaus.variables and len(store.keys()) == len(plain):
            for place, variable in enumerate(plain):
                variable.assign(store[str(place)])
        else:
            super().load_own_variables(store)
        plateaus.read()

    def learning_rates(self) -> dict[str, float]:
        """Each variable's effective rate for the next update, by path.

        Returns:
            base x schedule x multiplier for every variable, in the optimizer's order.

        Raises:
            OptimizerError: The optimizer has not seen its variables yet.
        """
        return rates_now(self.plan())

    def plan(self, steps: Sequence[int] = ()) -> Plan:
        """The table of every variable's rule, multiplier and rate.

        Args:
            steps: The steps to show rates at, beside the present one.

        Returns:
            A plan; ``print`` shows it as a table.

        Raises:
            OptimizerError: The optimizer has not seen its variables yet.
        """
        plan = self._multiplied.plan
        if plan is None:
            raise OptimizerError(
                f"The optimizer {self.name!r} has not seen its variables yet. Call "
                "optimizer.build(model.trainable_variables), or use it for one update; "
                "layerwise.keras.explain(model, rules) shows the rates without it."
            )
        return with_rates(plan, self, steps)

    def plan_for(self, variables: Sequence[Variable], steps: Sequence[int] = ()) -> Plan:
        """The plan that building on these variables would make; nothing is built."""
        return with_rates(self._multiplied.plan_for(variables, self), self, steps)

    def resolved(self, variables: Sequence[Variable]) -> Plan:
        """The plan without rates that it was built with, or else would be on these variables."""
        plan: Plan | None = self._multiplied.plan
        return self._multiplied.plan_for(variables, self) if plan is None else plan

    def get_config(self) -> dict[str, object]:
        """The optimizer it was made from, its rules and schedule, as plain data."""
        config = optimizer_config(self, _plain_class(type(self)))
        *inside, last = self._multiplied.specs
        for spec in inside:
            config = {
                "module": LRMultiplier.__module__,
                "class_name": "LRMultiplier",
                "config": {"optimizer": config, **spec.to_config(function_name)},
                "registered_name": "layerwise>LRMultiplier",
            }
        config = {"optimizer": config, **last.to_config(function_name)}
        note_all_saved(trained_variables(self) if self.built else ())
        weights = self._multiplied.weights()
        return config if weights is None else config | {"weights": weights.to_config()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, object], custom_objects: Mapping[str, object] | None = None
    ) -> "LRMultiplier":
        """The optimizer that ``get_config`` described."""
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        made = _multiplied(
            as_optimizer(optimizer), RuleSpec.from_config(config, RegisteredFunctions())
        )
        weights = config.get("weights")
        made._multiplied.saved = None if weights is None else SavedWeights.from_config(weights)
        return made

    def save_assets(self, directory: str) -> None:
        """Called by Keras while a ``.keras`` file is written, when all configs have been."""
        has_rules = any(spec.rules for spec in self._multiplied.specs)
        if has_rules and self._multiplied.weights() is None and not self._multiplied.alone:
            warnings.warn(
                f"The model is saved before {self.name!r} has seen its weights, so the file does "
                "not hold the names that the rules are for, and Keras changes the names of inner "
                "weights when it loads. Call model.optimizer.build(model.trainable_variables) "
                "before saving.",
                stacklevel=2,
            )

    def plain(self) -> Optimizer:
        """A new optimizer of the plain class like this one, without multipliers and unbuilt."""
        return clone_optimizer(self, _plain_class(type(self)))

    def with_rules(
        self,
        rules: Rules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: Layers | None = None,
    ) -> "LRMultiplier":
        """A new optimizer with other rules in place of these, which goes on from this one's state.

        The arguments are those of ``LRMultiplier``. That class itself, around an ``LRMultiplier``,
        would multiply with the rules that are there.
        """
        made = _multiplied(self.plain(), RuleSpec(rules, schedule, match, strict, layers))
        made._multiplied.source = self if self.built else None
        made._multiplied.saved = self._multiplied.saved
        return made

    def __reduce__(self) -> tuple[object, ...]:
        # Keras pickles through its file format; the class that reads it must be importable.
        self._multiplied.alone = True
        try:
            return unpickler(LRMultiplier), super().__reduce__()[1]
        finally:
            self._multiplied.alone = False


def _multiplied(source: Optimizer, spec: RuleSpec) -> LRMultiplier:
    """A copy of an optimizer with these rules, around those that it has already."""
    known = source._multiplied if isinstance(source, LRMultiplier) else _Multiplied((), None)
    plain = _plain_class(type(source))
    check_hooks(plain)
    made: LRMultiplier = clone_optimizer(source, plain)
    become(made, _multiplied_class(plain), OptimizerError)
    made._factors = Factors()
    built = source if source.built else None
    made._multiplied = _Multiplied((*known.specs, spec), built, known.saved)
    return made


@cache
def _multiplied_class(plain: type) -> type:
    """The class of a multiplied optimizer: the plain one behind the multiplied update."""
    ours = set(dir(LRMultiplier)) - set(dir(Optimizer))
    if clash := sorted(name for name in ours & set(dir(plain)) if not name.startswith("_")):
        raise OptimizerError(
            f"{plain.__name__} has an attribute {clash[0]!r}, and so has LRMultiplier. Rename it."
        )
    made = type("LRMultiplier", (LRMultiplier, plain), {"_plain": plain})
    made.__doc__, made.__module__ = LRMultiplier.__doc__, LRMultiplier.__module__
    keras.saving.register_keras_serializable("layerwise", "LRMultiplier")(made)
    return made


def _plain_class(optimizer_class: type) -> type:
    plain: type = vars(optimizer_class).get("_plain", optimizer_class)
    return plain
