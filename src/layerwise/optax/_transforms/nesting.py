"""What multipliers may be put around, and what they must be put inside of.

The update is multiplied after the optimizer. That is another learning rate only if the optimizer is
done then: it doesn't step by itself, jump to a place, search along its update, or clip what the
rate has scaled. Most of these keep a state, by whose class they are known. Those that keep none are
found by the name of the Optax function that made them (tried with Optax 0.2.8).
"""

from collections.abc import Iterator
from types import FunctionType
from typing import Literal, NamedTuple

import jax
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import moves
from layerwise.optax._plan import TreePlan

_APPLIED = "it must know the updates that are really applied"
_LEFT_OUT = "it leaves updates out, which a schedule around it can't know"
_INSIDE = "Turn it around: {name}(with_multipliers(optimizer, ...), ...)"
_SEARCH = (
    "Write optax.chain(optax.scale_by_lbfgs(), optax.scale(-1.0), scale_by_multipliers(...), "
    "{name}(...))"
)


class _Refusal(NamedTuple):
    """Why multipliers don't go around something, and when.

    ``rules``: if any multiplier isn't 1. ``scaling``: if one isn't 0 or 1, so that freezing is
    allowed. ``moving``: if one changes with the step, or all do, by a schedule.
    """

    name: str
    reason: str
    when: Literal["always", "rules", "scaling", "moving"] = "always"
    instead: str = _INSIDE


_NOT_AROUND = {
    "MultiStepsState": _Refusal("optax.MultiSteps", "it applies an update only every few calls"),
    "LookaheadState": _Refusal("optax.lookahead", _APPLIED),
    "ScheduleFreeState": _Refusal("optax.contrib.schedule_free", _APPLIED),
    "SAMState": _Refusal(
        "optax.contrib.sam", "it steps several times, and its ascent would be multiplied, too"
    ),
    "ApplyIfFiniteState": _Refusal("optax.apply_if_finite", _LEFT_OUT, "moving"),
    "ConditionallyMaskState": _Refusal("optax.conditionally_mask", _LEFT_OUT, "moving"),
    "ApplyEvery": _Refusal(
        "optax.apply_every",
        "it gathers updates of several steps, which a schedule around it can't know",
        "moving",
        "Write optax.chain(with_multipliers(optimizer, ...), {name}(...))",
    ),
    "MechanicState": _Refusal(
        "optax.contrib.mechanize", "it counts on the parameters to be where it put them", "scaling"
    ),
    "MadgradState": _Refusal(
        "optax.contrib.madgrad",
        "its update leads to a place, and a part of it leads there as well, only later",
        "scaling",
        "Use optax.partition, with one {name} for each rate",
    ),
    "ScaleByZoomLinesearchState": _Refusal(
        "optax.scale_by_zoom_linesearch",
        "it has searched along its whole update, and keeps the value at its end",
        "rules",
        _SEARCH,
    ),
    "ScaleByBacktrackingLinesearchState": _Refusal(
        "optax.scale_by_backtracking_linesearch",
        "it has searched along its whole update, and keeps the value at its end",
        "rules",
        _SEARCH,
    ),
}
"""What multipliers don't go around, by the class of its state."""

_RATES = {"scale", "scale_by_schedule", "inject_hyperparams"}
_LIMITS = {
    "adaptive_grad_clip",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "keep_params_nonnegative",
    "normalize",
    "normalize_by_update_norm",
    "scale_by_sign",
    "scale_by_trust_ratio",
}
"""Links of a chain whose result is not proportional to what comes in, and that keep no state."""


def check_nesting(
    optimizer: optax.GradientTransformation, state: optax.OptState, found: TreePlan
) -> None:
    """Raise if multipliers are around something that they must be inside of.

    Args:
        optimizer: What they are around.
        state: Its state.
        found: The plan.

    Raises:
        OptimizerError: They are; the message says how to turn it around.
    """
    plan = found.plan
    moving = plan.schedule is not None or any(moves(value) for value, _ in plan.groups)
    rules = found.scales or not all(found.trained)
    applies = {"always": True, "rules": rules, "scaling": found.scales, "moving": moving}

    def is_one(node: object) -> bool:
        refusal = _NOT_AROUND.get(type(node).__name__)
        opaque = getattr(node, "cache", ()) is None  # SAM that steps inside of one update
        return refusal is not None and applies[refusal.when] and not opaque

    for node in filter(is_one, jax.tree.leaves(state, is_leaf=is_one)):
        name, reason, _, instead = _NOT_AROUND[type(node).__name__]
        raise OptimizerError(
            f"Multipliers go inside of {name}, not around it: {reason}. "
            f"{instead.format(name=name)}."
        )
    if found.scales and (limit := _limit_after_rate(optimizer)):
        raise OptimizerError(
            f"Multipliers go before optax.{limit}, not around it: it limits what the learning rate "
            "has scaled, and the multiplier would scale its result. Put it behind: "
            f"optax.chain(with_multipliers(optimizer, ...), optax.{limit}(...))."
        )


def _limit_after_rate(optimizer: optax.GradientTransformation) -> str | None:
    links = list(_links(optimizer))
    last = max((i for i, link in enumerate(links) if link in _RATES), default=len(links))
    return next((link for link in links[last + 1 :] if link in _LIMITS), None)


def _links(optimizer: object) -> Iterator[str]:
    """The functions of Optax that made the links of a chain, in order.

    What is inside of another transformation than a chain is that one's own matter.
    """
    update = getattr(optimizer, "update", None)
    if not isinstance(update, FunctionType) or not update.__module__.startswith("optax."):
        return
    cells = dict(zip(update.__code__.co_freevars, update.__closure__ or (), strict=True))
    inside = {name: cell.cell_contents for name, cell in cells.items()}
    made_by = update.__qualname__.split(".")[0]
    if made_by == "chain":
        for each in inside["update_fns"]:
            yield from _links(optax.GradientTransformation(lambda params: (), each))
    elif made_by == "named_chain":
        for _, each in inside["transforms"]:
            yield from _links(each)
    elif made_by in ("with_extra_args_support", "masked"):
        yield from _links(inside.get("tx", inside.get("inner")))
    else:
        yield made_by
