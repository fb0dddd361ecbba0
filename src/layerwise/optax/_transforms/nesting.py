"""What multipliers must not be put around, seen from the optimizer's state."""

from typing import Any

import jax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Plan

_ALWAYS = {
    "MultiStepsState": "it applies an update only every few calls, and counts them",
    "LookaheadState": "it has to know the updates that are really applied",
    "ScheduleFreeState": "it has to know the updates that are really applied",
}
_MOVING = {
    "ApplyIfFiniteState": "it leaves updates out, which a schedule outside of it can't know",
    "ConditionallyMaskState": "it leaves updates out, which a schedule outside of it can't know",
}
_NAMES = {
    "MultiStepsState": "optax.MultiSteps",
    "LookaheadState": "optax.lookahead",
    "ScheduleFreeState": "optax.contrib.schedule_free",
    "ApplyIfFiniteState": "optax.apply_if_finite",
    "ConditionallyMaskState": "optax.conditionally_mask",
}


def check_nesting(state: Any, plan: Plan) -> None:
    """Raise if multipliers are around something that they have to be inside of.

    Raises:
        OptimizerError: They are; the message says how to turn it around.
    """
    moves = plan.schedule is not None or any(callable(value) for value, _ in plan.groups)
    reasons = _ALWAYS | _MOVING if moves else _ALWAYS

    def is_one(node: Any) -> bool:
        return type(node).__name__ in reasons

    for node in jax.tree.leaves(state, is_leaf=is_one):
        if is_one(node):
            kind = type(node).__name__
            name = _NAMES[kind]
            raise OptimizerError(
                f"multipliers go inside of {name}, not around it: {reasons[kind]}. Turn it "
                f"around: {name}(with_multipliers(optimizer, ...), ...)."
            )
