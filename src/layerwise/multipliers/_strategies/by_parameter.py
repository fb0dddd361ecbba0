"""ParameterStrategy: a multiplier for each parameter by its name and shape, whatever its depth."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from layerwise.multipliers._plan import Parameter
from layerwise.multipliers._strategies.strategy import AnyStrategy
from layerwise.multipliers._values import Value


def _mend(name: str, factor: float) -> str:
    return f"{name} *= {factor:.4g}"


@dataclass(frozen=True)
class ModelFacts:
    """What an adapter knows of a model and its optimizer beyond names and shapes.

    Each is looked up only if a strategy asks for it.

    Attributes:
        family: Returns ``"adam"`` or ``"sgd"``, or None if the optimizer isn't known.
        axes: Returns a letter for each axis of a weight, by name: ``i`` leads in, ``o`` leads out,
            ``-`` does neither. PyTorch has ``oi`` for a linear layer, Keras ``--io`` for images.
        values: Returns the weights at the start of training as far as they are at hand, by name.
        mend: Returns the line of code that multiplies the weight of a name by a factor.

    Examples:
        >>> from layerwise.multipliers import ModelFacts
        >>> ModelFacts(family=lambda: "adam").family()
        'adam'
    """

    family: Callable[[], str | None] = field(default=lambda: None)
    axes: Callable[[], Mapping[str, str]] = field(default=dict)
    values: Callable[[], Mapping[str, object]] = field(default=dict)
    mend: Callable[[str, float], str] = field(default=_mend)


class Decision(NamedTuple):
    """What a strategy says of one parameter.

    Attributes:
        value: The multiplier.
        reason: Why, in a few words, for the plan's column ``rule``.

    Examples:
        >>> from layerwise.multipliers import Decision
        >>> Decision(16.0, "a head").value
        16.0
    """

    value: Value
    reason: str


class Decided(NamedTuple):
    """What a strategy says of a model.

    Attributes:
        each: A decision for each parameter; None where the strategy has nothing to say.
        notes: Sentences that a reader of the plan should know, and is warned of.

    Examples:
        >>> from layerwise.multipliers import Decision, Decided
        >>> Decided([None, Decision(16.0, "a head")]).notes
        ()
    """

    each: Sequence[Decision | None]
    notes: Sequence[str] = ()


class ParameterStrategy(AnyStrategy, ABC):
    """A multiplier for each parameter by its name and shape. Subclass it to write a strategy.

    Examples:
        >>> from layerwise.multipliers import (
        ...     Decision,
        ...     Decided,
        ...     Parameter,
        ...     ParameterStrategy,
        ...     resolve,
        ... )
        >>> class SlowVectors(ParameterStrategy):
        ...     def decide(self, parameters, needed, model, separator):
        ...         slow = Decision(0.5, "a vector")
        ...         return Decided([slow if len(p.shape) == 1 else None for p in parameters])
        >>> names = [Parameter("head/kernel", (8, 2)), Parameter("head/bias", (2,))]
        >>> resolve(names, SlowVectors()).multipliers(0).tolist()
        [1.0, 0.5]
    """

    @abstractmethod
    def decide(
        self,
        parameters: Sequence[Parameter],
        needed: Sequence[bool],
        model: ModelFacts,
        separator: str,
    ) -> Decided:
        """Decide on the multipliers of a model's parameters.

        Args:
            parameters: The model's parameters, in its order.
            needed: Whether each has to get a multiplier, so that it is an error if the strategy
                can't tell. It is false for what doesn't train or has a rule of its own, and for
                all under ``strict=False``.
            model: What else is known of the model and its optimizer.
            separator: What stands between the parts of a name.

        Raises:
            MultiplierError: The strategy can't be used for this model.
            UnmatchedRuleError: It can't tell the multiplier of a parameter that needs one.
        """
