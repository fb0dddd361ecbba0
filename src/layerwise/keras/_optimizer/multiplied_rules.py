"""The rules of a multiplied optimizer, and what they mean for its weights."""

from collections.abc import Sequence

from keras import Variable
from keras.optimizers import Optimizer

from layerwise.keras._objects import ObjectSpec
from layerwise.keras._optimizer.plan import plan_of
from layerwise.keras._optimizer.saved_weights import SavedWeights
from layerwise.multipliers import Plan, RuleSpec


class MultipliedRules:
    """The rules of an optimizer; a plain object, so that no backend tracks it.

    Attributes:
        specs: The rules, the innermost first.
        source: The built optimizer whose state is to be taken over, if any.
        saved: The weights that the rules were resolved for before they were saved, if they were.
        plan: What the rules mean for the weights, when these are known.
        alone: Whether the optimizer is being pickled without a model.
    """

    def __init__(
        self,
        specs: tuple[RuleSpec | ObjectSpec, ...],
        source: Optimizer | None,
        saved: SavedWeights | None = None,
    ) -> None:
        self.specs = specs
        self.source = source
        self.saved = saved
        self.plan: Plan | None = None
        self.alone = False

    def plan_for(self, variables: Sequence[Variable], optimizer: Optimizer) -> Plan:
        """What the rules mean for these weights."""
        if self.saved is not None:
            self.saved.restore(variables)
        return plan_of(variables, optimizer, self.named(variables))

    def named(self, variables: Sequence[Variable]) -> tuple[RuleSpec, ...]:
        """The rules with names in place of layers and variables."""
        return tuple(
            spec.named(variables) if isinstance(spec, ObjectSpec) else spec for spec in self.specs
        )

    def weights(self) -> SavedWeights | None:
        """The weights that the rules are resolved for, or were when they were saved."""
        if self.plan is None:
            return self.saved
        return SavedWeights.of([row.parameter for row in self.plan.rows])
