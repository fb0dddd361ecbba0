"""LRMultiplier: any Keras optimizer, with a learning rate for each variable."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import keras
from keras import Variable
from keras.optimizers import Optimizer

from layerwise.errors import OptimizerError
from layerwise.keras._annotated.annotations import note_all_saved
from layerwise.keras._by_metric.plateau_variables import PlateauVariables
from layerwise.keras._internals.classes import become, unpickler
from layerwise.keras._internals.optimizer import (
    Rate,
    check_hooks,
    decay_properties,
    decays,
    rate_variable,
    trained_variables,
)
from layerwise.keras._moving.counts import Counts
from layerwise.keras._moving.factors import Factors
from layerwise.keras._moving.hyperparameters import Hyperparameters
from layerwise.keras._objects import ModelLevels, ModelRules, ObjectSpec, spec_of
from layerwise.keras._optimizer.clone import (
    Identifier,
    as_optimizer,
    clone_optimizer,
    optimizer_config,
)
from layerwise.keras._optimizer.informed import InformedOptimizer
from layerwise.keras._optimizer.multiplied_rules import MultipliedRules
from layerwise.keras._optimizer.plan import rates_now, with_rates
from layerwise.keras._optimizer.saved_weights import SavedWeights
from layerwise.keras._optimizer.step_values import outside_of_graphs
from layerwise.keras._registered_functions import RegisteredFunctions, function_name
from layerwise.keras._schedule import as_learning_rate, rate_error
from layerwise.multipliers import Layers, Plan, Rules, RuleSpec, StepValue


@keras.saving.register_keras_serializable(package="layerwise")
class LRMultiplier(InformedOptimizer):
    r"""Any Keras optimizer, with a learning rate for each variable.

    The optimizer sees, for variable $v$ at step $t$ (updates already applied),

    $$\eta_v(t) = \text{learning\_rate} \cdot \text{schedule}(t) \cdot m_v(t)$$

    and nothing else of it changes: training equals one separate optimizer for each rate. A
    multiplier of 0 freezes: the weight and its optimizer state stay as they are, bit for bit.
    The result *is* an optimizer of the given class with the same variables in the same order,
    so files saved with the plain optimizer load into it, and back. Where schedules count tokens, or
    a metric decides, variables for that come after the others: a plain file still loads, and they
    begin afresh, but a plain optimizer can't load theirs.

    Args:
        optimizer: An identifier (``"adam"``), a config, or an instance of any Keras optimizer.
            An instance is not changed: a copy is made from its config. If it has been built, its
            state is taken over, and it must have been built on the same variables.
        rules: Rules by name of the variable (``variable.path``, such as
            ``backbone/conv/kernel``; the model's name may be left out): a mapping from key to
            number, schedule or callable of the step, a strategy such as ``layer_decay(0.75)``, or
            a sequence of these. Without a matching rule the multiplier is 1. A layer may itself be
            a key, ``{model.get_layer("head"): 2.0}``, and a variable in a pair,
            ``[(layer.kernel, 0.5)]``; the optimizer keeps their names once it is built.
        schedule: A factor on the base rate for all variables: a schedule or callable of the step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies, such as ``layers_of(model)``, or
            lists of layers; by default they are read from the variables' names and order.
        decay_rules: Rules for weight decay, by name as ``rules``: a multiplier for the optimizer's
            ``weight_decay``, which must not be None. 0 means none. The decay still scales with
            the variable's rate, and what ``exclude_from_weight_decay`` names has none.
        hyperparameters: What moves beside the rate, such as ``{"momentum": linear(100, 0.95,
            0.85)}``: a schedule or callable of the step by the name that the optimizer has for it.
            The values are absolute, and the optimizer is made with a number above 0 there.

    Returns:
        An optimizer for ``model.compile`` or your own training loop.

    Raises:
        OptimizerError: Not an optimizer, or one that multipliers can't act through; rules for
            weight decay, and an optimizer without; or a hyperparameter that the optimizer doesn't
            have, or has at 0, or that an ``LRMultiplier`` inside moves already.
        MultiplierError: A value, rule, level or match mode that can't be used.
        ScheduleError: ``schedule``, or that of a hyperparameter, is neither a schedule nor a
            callable; or a momentum, ``rho`` or ``beta_1`` is 1 or more.

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
        rules: ModelRules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: ModelLevels | None = None,
        decay_rules: ModelRules | None = None,
        hyperparameters: Mapping[str, StepValue] | None = None,
    ) -> "LRMultiplier":
        source = as_optimizer(optimizer)
        spec = spec_of(
            rules,
            schedule=schedule,
            match=match,
            strict=strict,
            layers=layers,
            decay_rules=decay_rules,
        )
        return _multiplied(source, spec, hyperparameters)

    def __init__(
        self,
        optimizer: Identifier,
        rules: ModelRules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: ModelLevels | None = None,
        decay_rules: ModelRules | None = None,
        hyperparameters: Mapping[str, StepValue] | None = None,
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
                    f"LRMultiplier({plain_class(type(source)).__name__}(...), ...)."
                )
        plan = self._multiplied.plan_for(variables, self)
        super().build(variables)
        own = list(self.variables)
        self._multiplied.plan = self.follow(plan)
        self._multiplied.specs = self._multiplied.named(variables)
        if source is not None:
            with outside_of_graphs():
                self.go_on_from(source, own)
            self._multiplied.source = None

    @property
    def learning_rate(self) -> Variable:
        """The base rate: read, set, or driven by a callback as with any optimizer."""
        return self.rate_now()

    @learning_rate.setter
    def learning_rate(self, value: float | Rate) -> None:
        rate = as_learning_rate(value)  # which says itself what it doesn't take
        try:
            Optimizer.learning_rate.fset(self, rate)
        except Exception as error:
            if rate_variable(self) is None:
                raise  # the optimizer was made with a schedule, and Keras says so
            raise rate_error(self.name, value) from error

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
        config = optimizer_config(self, plain_class(type(self)))
        *inside, last = self._multiplied.specs
        for spec in inside:
            config = {
                "module": LRMultiplier.__module__,
                "class_name": "LRMultiplier",
                "config": {"optimizer": config, **spec.to_config(function_name)},
                "registered_name": "layerwise>LRMultiplier",
            }
        config = {"optimizer": config, **last.to_config(function_name)}
        if self._hyperparameters:
            config["hyperparameters"] = self._hyperparameters.to_config()
        note_all_saved(trained_variables(self) if self.built else ())
        weights = self._multiplied.weights()
        return config if weights is None else config | {"weights": weights.to_config()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, object], custom_objects: Mapping[str, object] | None = None
    ) -> "LRMultiplier":
        """The optimizer that ``get_config`` described."""
        with keras.saving.custom_object_scope(custom_objects or {}):
            optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
            moving = Hyperparameters.from_config(config.get("hyperparameters", {}))
            spec = RuleSpec.from_config(config, RegisteredFunctions())
            made = _multiplied(as_optimizer(optimizer), spec, moving)
            weights = config.get("weights")
            made._multiplied.saved = None if weights is None else SavedWeights.from_config(weights)
        return made

    def save_assets(self, directory: str) -> None:
        """Called by Keras while a ``.keras`` file is written, when all configs have been."""
        has_rules = any(spec.rules or spec.decay_rules for spec in self._multiplied.specs)
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
        return clone_optimizer(self, plain_class(type(self)))

    def with_rules(
        self,
        rules: ModelRules | None = None,
        *,
        schedule: StepValue | None = None,
        match: str = "prefix",
        strict: bool = True,
        layers: ModelLevels | None = None,
        decay_rules: ModelRules | None = None,
        hyperparameters: Mapping[str, StepValue] | None = None,
    ) -> "LRMultiplier":
        """A new optimizer with other rules in place of these, which goes on from this one's state.

        The arguments are those of ``LRMultiplier``. What is not given is gone: the schedule, rules
        for weight decay and hyperparameters go with the rules. ``LRMultiplier(optimizer, ...)``
        around this one keeps all of them, and multiplies.

        Adam's count goes on. Warm up what was frozen and is not any more, over about
        ``1 / (1 - beta_2)`` updates: its first ones would be several times too large.
        """
        spec = spec_of(
            rules,
            schedule=schedule,
            match=match,
            strict=strict,
            layers=layers,
            decay_rules=decay_rules,
        )
        made = _multiplied(self.plain(), spec, hyperparameters)
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


def counts_of(optimizer: LRMultiplier) -> Counts:
    """What an optimizer counts beside updates, with the variables that it keeps that in."""
    return optimizer._counts


def specs_of(optimizer: LRMultiplier) -> tuple[RuleSpec | ObjectSpec, ...]:
    """The rules and schedules of an optimizer, the innermost first."""
    return tuple(optimizer._multiplied.specs)


def to_search_with(optimizer: LRMultiplier, rules: Rules, layers: Layers) -> LRMultiplier:
    """A new optimizer for a search, with rules in the place of those that are there.

    It goes on from the other one's state, without its common schedule; rules for weight decay and
    hyperparameters are kept.

    Args:
        optimizer: The other one.
        rules: The rules. They come first, so that the multipliers that layers carry meet them.
        layers: Levels from input to head.
    """
    spec = RuleSpec(rules, layers=layers)
    made = _multiplied(optimizer.plain(), spec, optimizer._hyperparameters.given)
    decays = [replace(each, rules=None, schedule=None) for each in specs_of(optimizer)]
    source = optimizer if optimizer.built else None
    made._multiplied = MultipliedRules((spec, *decays), source, optimizer._multiplied.saved)
    return made


def _multiplied(
    source: Optimizer,
    spec: RuleSpec | ObjectSpec,
    hyperparameters: Mapping[str, StepValue] | None,
) -> LRMultiplier:
    """A copy of an optimizer with these rules, around those that it has already."""
    known = source._multiplied if isinstance(source, LRMultiplier) else MultipliedRules((), None)
    plain = plain_class(type(source))
    check_hooks(plain)
    if spec.decay_rules is not None:
        _check_decays(source, plain)
    made: LRMultiplier = clone_optimizer(source, plain)
    become(made, _multiplied_class(plain), OptimizerError)
    made._factors, made._counts, made._plateaus = Factors(), Counts(), PlateauVariables()
    moving = Hyperparameters.of(hyperparameters, made, plain)
    if isinstance(source, LRMultiplier):
        moving = moving.beside(source._hyperparameters)
    made._hyperparameters = moving
    built = source if source.built else None
    made._multiplied = MultipliedRules((*known.specs, spec), built, known.saved)
    return made


def _check_decays(optimizer: Optimizer, plain: type) -> None:
    """Raise unless an optimizer has a weight decay that can be multiplied."""
    name = plain.__name__
    if not decays(optimizer):
        raise OptimizerError(
            f"There are decay_rules=, and {name} has no weight decay for them to multiply. Give it "
            f"one: {name}(..., weight_decay=0.004)."
        )
    if hasattr(plain, "weight_decay"):
        raise OptimizerError(
            f"{name} defines weight_decay in its class, so decay_rules= can't multiply it. Keep it "
            "in the attribute that Optimizer.__init__(weight_decay=...) sets."
        )


@cache
def _multiplied_class(plain: type) -> type:
    """The class of a multiplied optimizer: the plain one behind the multiplied update."""
    ours = set(dir(LRMultiplier)) - set(dir(Optimizer))
    if clash := sorted(name for name in ours & set(dir(plain)) if not name.startswith("_")):
        raise OptimizerError(
            f"{plain.__name__} has an attribute {clash[0]!r}, and so has LRMultiplier. Rename it."
        )
    members = {"_plain": plain, **decay_properties(plain)}
    made = type("LRMultiplier", (LRMultiplier, plain), members)
    made.__doc__, made.__module__ = LRMultiplier.__doc__, LRMultiplier.__module__
    keras.saving.register_keras_serializable("layerwise", "LRMultiplier")(made)
    return made


def plain_class(optimizer_class: type) -> type:
    """The class that multipliers were given to, or the class itself if it has none."""
    plain: type = vars(optimizer_class).get("_plain", optimizer_class)
    return plain
