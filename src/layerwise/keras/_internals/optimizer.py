"""The private parts of Keras' optimizers, under names of our own."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import keras
from keras import Variable
from keras.optimizers import Optimizer

from layerwise.errors import OptimizerError
from layerwise.keras._internals.classes import view_as
from layerwise.keras._internals.tensorflow import where_fit_builds
from layerwise.keras._internals.values import Tensor
from layerwise.keras._internals.versions import missing

HOOKS = {
    "apply": ("grads", "trainable_variables"),
    "update_step": ("gradient", "variable", "learning_rate"),
    "add_variable_from_reference": ("reference_variable", "name", "initializer"),
    "_backend_apply_gradients": ("grads", "trainable_variables"),
    "_backend_update_step": ("grads", "trainable_variables", "learning_rate"),
    "_apply_weight_decay": ("variables",),
    "_get_current_learning_rate": (),
    "_get_variable_index": ("variable",),
    "_check_variables_are_known": ("variables",),
    "_use_weight_decay": ("variable",),
    "_update_model_variables_moving_average": ("trainable_variables",),
    "_overwrite_model_variables_with_average_value": ("trainable_variables",),
}
"""The methods of ``keras.optimizers.Optimizer`` that Layerwise needs, with their arguments."""

_PIPELINE = ("apply", "_backend_apply_gradients", "stateless_apply")
_DECAYS = ("weight_decay", "adam_weight_decay")
"""Where optimizers keep their weight decay; Muon has two."""

_EXCLUSIONS = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")

# Adafactor alone makes state that has another shape than its variable.
_ANOTHER_SHAPE = {keras.optimizers.Adafactor: ("_r", "_c")}

Rate: TypeAlias = Variable | keras.optimizers.schedules.LearningRateSchedule | Callable[[], object]
"""What an optimizer has for a base rate."""


def check_hooks(optimizer_class: type) -> None:
    """Raise unless the class updates its variables through the methods that are wrapped here.

    Args:
        optimizer_class: A subclass of ``keras.optimizers.Optimizer``.

    Raises:
        OptimizerError: A method is missing in this version of Keras, or the class goes around it.
    """
    for name, expected in HOOKS.items():
        method = getattr(optimizer_class, name, None)
        found = tuple(inspect.signature(method).parameters)[1:] if method else ()
        if method is None or len(found) != len(expected):
            part = f"{optimizer_class.__name__}.{name}({', '.join(expected)})"
            raise missing(part, "LRMultiplier", OptimizerError)
    redefined = [
        name
        for name in _PIPELINE
        if not any(
            vars(base).get(name) is inspect.getattr_static(optimizer_class, name)
            for base in Optimizer.__mro__
        )
    ]
    if redefined:
        name = optimizer_class.__name__
        raise OptimizerError(
            f"{name} defines {redefined[0]}() itself, so multipliers may never reach its updates. "
            f"If it wraps another optimizer, put LRMultiplier inside: {name}(LRMultiplier(...)); "
            "otherwise override update_step() instead."
        )


@dataclass(frozen=True)
class Slots:
    """The optimizer's own variables, by whose state they are.

    Attributes:
        of_variable: The state of each trained variable, in the optimizer's order. Moving averages
            of the weights are not among it.
        shared: State that all variables share, such as Nadam's product of momenta.
        unknown: The names of what could be either.
    """

    of_variable: list[list[Variable]]
    shared: list[Variable]
    unknown: list[str]


class _References:
    """Which variable each slot was made for; a plain object, so that no backend tracks it.

    Args:
        earlier: The optimizer's variables that are no slots: its count, and its base rate.
    """

    def __init__(self, earlier: Sequence[Variable]) -> None:
        self.earlier = {id(variable) for variable in earlier}
        self.pairs: list[tuple[Variable, Variable]] = []


class OptimizerHooks(Optimizer):
    """What Keras does in an update, as methods with names of our own.

    A subclass overrides these methods and stands in front of an optimizer class. There ``super()``
    does it in that class' own way.
    """

    _references: _References

    def build(self, variables: list[Variable]) -> None:
        self._references = _References(self._variables)
        super().build(variables)

    def add_variable_from_reference(
        self,
        reference_variable: Variable,
        name: str | None = None,
        initializer: str | keras.initializers.Initializer = "zeros",
    ) -> Variable:
        made = super().add_variable_from_reference(
            reference_variable, name=name, initializer=initializer
        )
        self._references.pairs.append((made, reference_variable))
        return made

    def slots(self) -> Slots:
        """Whose state each of the optimizer's variables is; asked once, when it has been built."""
        place = {id(v): i for i, v in enumerate(self._trainable_variables)}
        owner = {id(made): place[id(of)] for made, of in self._references.pairs if id(of) in place}
        for kind, lists in _ANOTHER_SHAPE.items():
            for name in lists if isinstance(self, kind) else ():
                owner |= {id(v): i for i, v in enumerate(getattr(self, name)) if v is not None}
        attributes = {id(value) for value in vars(self).values()}
        of_variable: list[list[Variable]] = [[] for _ in self._trainable_variables]
        shared, unknown = [], []
        # While a callback sets the rate, the rate's variable is in no attribute.
        aside = {id(v) for v in (self._iterations, self._learning_rate, *averages_of(self))}
        for variable in self._variables:
            if id(variable) in aside:
                continue
            if id(variable) in owner:
                of_variable[owner[id(variable)]].append(variable)
            elif id(variable) in attributes:
                shared.append(variable)
            elif id(variable) not in self._references.earlier:
                unknown.append(variable.name)
        return Slots(of_variable, shared, unknown)

    def add_counts(self, size: int, name: str) -> Variable:
        """A variable of whole numbers that is saved with the optimizer, and is no slot."""
        made: Variable = self.add_variable(
            (size,), "zeros", dtype="int32", aggregation="only_first_replica", name=name
        )
        self._references.earlier.add(id(made))
        return made

    # -- what a subclass overrides ------------------------------------------------------------

    def update_all(
        self, gradients: Sequence[Tensor], variables: Sequence[Variable], rate: Tensor
    ) -> None:
        """Update all variables: one by one with ``update_step``, or with ``update_together``."""
        super()._backend_update_step(gradients, variables, rate)

    def update_together(
        self, gradients: Sequence[Tensor], variables: Sequence[Variable], rate: Tensor
    ) -> None:
        """Update variables under one rate in one go; for Keras' fused optimizers on PyTorch."""
        super()._parallel_update_step(gradients, variables, rate)

    def decay(self, variables: Sequence[Variable]) -> None:
        """Apply weight decay to variables that decay."""
        super()._apply_weight_decay(variables)

    def method_of_keras(self, name: str) -> Callable[..., object]:
        """The method of this name that the optimizer's plain class has."""
        method: Callable[..., object] = getattr(super(), name)
        return method

    def rate_now(self) -> Tensor:
        """The base rate of this step."""
        rate: Tensor = super()._get_current_learning_rate()
        return rate

    def decay_now(self, decay: Tensor | float | None) -> Tensor | float | None:
        """The weight decay at this moment, of the one that the optimizer has."""
        return decay

    def update_averages(self, variables: Sequence[Variable]) -> None:
        """Move the average of each variable towards its value."""
        super()._update_model_variables_moving_average(variables)

    def take_averages(self, variables: Sequence[Variable]) -> None:
        """Set each variable to its average."""
        super()._overwrite_model_variables_with_average_value(variables)

    # -- what Keras calls ---------------------------------------------------------------------

    def _backend_update_step(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[Variable],
        learning_rate: Tensor,
    ) -> None:
        self.update_all(grads, trainable_variables, learning_rate)

    def _parallel_update_step(
        self, grads: Sequence[Tensor], variables: Sequence[Variable], learning_rate: Tensor
    ) -> None:
        self.update_together(grads, variables, learning_rate)

    def _apply_weight_decay(self, variables: Sequence[Variable]) -> None:
        common = Optimizer._apply_weight_decay
        if self.weight_decay is None and super()._apply_weight_decay.__func__ is common:
            return
        # Keras' PyTorch code takes no empty list, so what does not decay is left out here.
        self.decay([v for v in variables if self._use_weight_decay(v)])

    def _get_current_learning_rate(self) -> Tensor:
        return self.rate_now()

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[Variable]
    ) -> None:
        self.update_averages(trainable_variables)

    def _overwrite_model_variables_with_average_value(
        self, trainable_variables: Sequence[Variable]
    ) -> None:
        self.take_averages(trainable_variables)


# -- what is read from an optimizer ----------------------------------------------------------------


def inner_optimizer(optimizer: Optimizer) -> Optimizer:
    """The optimizer inside Keras' loss scaling, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def base_rate_of(optimizer: Optimizer) -> Rate | None:
    """The base rate: a variable, a schedule of Keras or a callable without arguments, else None."""
    return getattr(inner_optimizer(optimizer), "_learning_rate", None)


def rate_variable(optimizer: Optimizer) -> Variable | None:
    """The variable that holds the base rate; None if a schedule or a callable gives it."""
    rate = base_rate_of(optimizer)
    return rate if isinstance(rate, Variable) else None


def batch_count(optimizer: Optimizer) -> Variable:
    """The variable that counts the optimizer's batches; without accumulation these are updates."""
    return inner_optimizer(optimizer)._iterations


def trained_variables(optimizer: Optimizer) -> list[Variable]:
    """The variables that a built optimizer updates, in its order."""
    return list(optimizer._trainable_variables)


def place_of(optimizer: Optimizer, variable: Variable) -> int:
    """The place of a variable, or of one of its replicas, among the optimizer's variables."""
    place: int = optimizer._get_variable_index(variable)
    return place


def check_known(optimizer: Optimizer, variables: Sequence[Variable]) -> None:
    """Raise Keras' error unless the optimizer was built on all of these variables."""
    optimizer._check_variables_are_known(variables)


def averages_of(optimizer: Optimizer) -> Sequence[Variable | None]:
    """The moving average of each variable, if the optimizer keeps them."""
    return getattr(optimizer, "_model_variables_moving_average", ())


def weight_decay_of(optimizer: Optimizer | None, variable: Variable) -> float | None:
    """The decay that an optimizer applies to a variable, or None."""
    if optimizer is None or not optimizer._use_weight_decay(variable):
        return None
    # Muon has a second decay for the variables that it leaves to AdamW; in Keras 3.10 it has one.
    with_adamw = getattr(optimizer, "_should_use_adamw", None)
    second = hasattr(optimizer, "adam_weight_decay")
    apart = second and with_adamw is not None and with_adamw(variable)
    decay: float | None = getattr(optimizer, "adam_weight_decay" if apart else "weight_decay")
    return decay


def decays(optimizer: Optimizer) -> bool:
    """Whether an optimizer has a weight decay at all; 0 is one."""
    return any(getattr(optimizer, name, None) is not None for name in _DECAYS)


def decay_properties(plain: type) -> dict[str, property]:
    """The weight decays of an optimizer class as properties that ``decay_now`` multiplies.

    A class that has a property of its own in place of such an attribute keeps it.
    """
    return {name: _decay_property(name) for name in _DECAYS if not hasattr(plain, name)}


def _decay_property(name: str) -> property:
    def read(optimizer: "OptimizerHooks") -> Tensor | float | None:
        try:
            return optimizer.decay_now(vars(optimizer)[name])
        except KeyError:
            raise AttributeError(name) from None

    def write(optimizer: "OptimizerHooks", value: float | None) -> None:
        optimizer.__dict__[name] = value

    return property(read, write)


def config_without_rate(optimizer: Optimizer, plain: type) -> dict[str, object]:
    """The config of an optimizer as its plain class; None for a rate that is not a number."""
    view: object = view_as(optimizer, plain)
    if rate_variable(optimizer) is None:
        object.__setattr__(view, "_learning_rate", None)
    config: dict[str, object] = plain.get_config(view)  # type: ignore[attr-defined]
    return config


def own_arguments(optimizer: Optimizer, plain: type) -> list[str]:
    """The arguments that a class of optimizers has beside those that all have, by its config."""
    common = Optimizer.get_config(optimizer)
    return [name for name in config_without_rate(optimizer, plain) if name not in common]


def copy_decay_exclusions(source: Optimizer, target: Optimizer) -> None:
    """Exclude from weight decay what the source excludes; its config does not say it."""
    for name in _EXCLUSIONS:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


@contextmanager
def overriding_rate(
    optimizer: Optimizer, rate: keras.optimizers.schedules.LearningRateSchedule
) -> Iterator[None]:
    """While the block runs, the optimizer's updates get their base rate from ``rate``.

    Args:
        optimizer: The optimizer, which may be inside Keras' loss scaling.
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
    if isinstance(before, Variable):
        yield False
        return
    with where_fit_builds(model), keras.name_scope(inner.name, caller=inner):
        inner._learning_rate = variable = Variable(
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


def accumulated_gradients(optimizer: Optimizer) -> list[Variable]:
    """The sums of an update that is not complete yet, under gradient accumulation."""
    return [v for v in inner_optimizer(optimizer)._accumulated_gradients if v is not None]


def batches_per_update(optimizer: Optimizer) -> int:
    """How many batches make one update: more than 1 under gradient accumulation."""
    return inner_optimizer(optimizer).gradient_accumulation_steps or 1
