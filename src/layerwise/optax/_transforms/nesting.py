"""What multipliers may be put around, and what they must be put inside of.

The update is multiplied after the optimizer. That is another learning rate only if the optimizer is
done then: it doesn't step by itself, jump to a place, search along its update, or clip what the
rate has scaled. Most of these keep a state, by whose class they are known. Those that keep none are
found by the name of the Optax function that made them (tried with Optax 0.2.8).
"""

import itertools
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any, Literal, NamedTuple

import jax
import optax

from layerwise.errors import OptimizerError
from layerwise.multipliers import Plan, first_value, moves
from layerwise.optax._plan import TreePlan

_APPLIED = "it must know the updates that are really applied"
_LEFT_OUT = "it leaves updates out, which a schedule around it can't know"
_INSIDE = "Turn it around: {name}(with_multipliers(optimizer, ...), ...)"
_TRAIN_WITH = (
    "Search with the optimizer that is inside of it, and then train with "
    "{name}(with_multipliers(optimizer, found.rules), ...)"
)
_GATHERS = "MultiStepsState"
_SEARCH = (
    "Write optax.chain(optax.scale_by_lbfgs(), optax.scale(-1.0), scale_by_multipliers(...), "
    "{name}(...))"
)


class _Refusal(NamedTuple):
    """Why multipliers don't go around something, and when.

    Attributes:
        name: What it is.
        reason: Why.
        when: ``always``; ``rules``, if any multiplier isn't 1; ``scaling``, if one isn't 0 or 1, so
            that freezing is allowed; ``moving``, if one changes with the step, or all do, by a
            schedule.
        instead: What to do.
    """

    name: str
    reason: str
    when: Literal["always", "rules", "scaling", "moving"] = "always"
    instead: str = _INSIDE


_NOT_AROUND = {
    _GATHERS: _Refusal("optax.MultiSteps", "it applies an update only every few calls"),
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
    "COCOBState": _Refusal(
        "optax.contrib.cocob",
        "its update leads to a place",
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

_WRAPPERS = {
    "apply_if_finite",
    "conditionally_mask",
    "conditionally_transform",
    "flatten",
    "masked",
    "split_real_and_imaginary",
    "with_extra_args_support",
}
_FROM_THE_FIRST = {"scale_by_acprop", "scale_by_adopt", "scale_by_galore"}
"""Links that make their state from the first gradient, which is 0 for what is frozen then."""

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
    optimizer: optax.GradientTransformation,
    state: optax.OptState,
    found: TreePlan,
    *,
    searching: bool = False,
) -> None:
    """Raise if multipliers are around something that they must be inside of.

    Args:
        optimizer: What they are around.
        state: Its state.
        found: The plan.
        searching: Whether the multipliers are those of a search. They are the same until the next
            update is applied, so that ``optax.MultiSteps`` may be inside, and it takes no
            optimizer that they are in already.

    Raises:
        OptimizerError: They are; the message says how to turn it around, or what to search with.
    """
    plan = found.plan
    moving = plan.schedule is not None or any(moves(value) for value, _ in plan.groups)
    rules = found.scales or not all(found.trained)
    applies = {"always": True, "rules": rules, "scaling": found.scales, "moving": moving}

    def is_one(node: object) -> bool:
        kind = type(node).__name__
        refusal = None if searching and kind == _GATHERS else _NOT_AROUND.get(kind)
        opaque = getattr(node, "cache", ()) is None  # SAM that steps inside of one update
        return refusal is not None and applies[refusal.when] and not opaque

    for node in filter(is_one, jax.tree.leaves(state, is_leaf=is_one)):
        raise _refused(_NOT_AROUND[type(node).__name__], searching)
    if found.scales and (limit := _limit_after_rate(optimizer)):
        raise _limited(limit, searching)
    if link := next((one for way in _ways(optimizer) for one in way if one in _FROM_THE_FIRST), ""):
        _check_none_thaws(plan, link.removeprefix("scale_by_"))


def _refused(refusal: _Refusal, searching: bool) -> OptimizerError:
    """The error for multipliers around what they must be inside of."""
    name, reason, _, instead = refusal
    if not searching:
        return OptimizerError(
            f"Multipliers go inside of {name}, not around it: {reason}. "
            f"{instead.format(name=name)}."
        )
    way = _TRAIN_WITH.format(name=name) if instead == _INSIDE else "Search with another optimizer"
    return OptimizerError(
        f"Layers can't have rates of their own around {name}: {reason}. {way.format(name=name)}."
    )


def _limited(limit: str, searching: bool) -> OptimizerError:
    """The error for multipliers around what limits an update after its rate."""
    behind = f"optax.chain(with_multipliers(optimizer, ...), optax.{limit}(...))"
    if searching:
        return OptimizerError(
            f"Layers can't have rates of their own around optax.{limit}, which limits what the "
            f"learning rate has scaled. Search without it, and then train with {behind}."
        )
    return OptimizerError(
        f"Multipliers go before optax.{limit}, not around it: it limits what the learning rate has "
        f"scaled, and the multiplier would scale its result. Put it behind: {behind}."
    )


def _check_none_thaws(plan: Plan, name: str) -> None:
    """Raise if a multiplier is 0 at first and something else later.

    Raises:
        OptimizerError: One is.
    """
    if any(moves(value) and first_value(value, "A multiplier") == 0 for value, _ in plan.groups):
        raise OptimizerError(
            f"A layer can't be thawed later under optax.contrib.{name}, which makes its state from "
            "the first gradient: a frozen layer has none then, and its first update would be far "
            "too large, or 0 for long. Begin with a small multiplier, such as 0.01, or use another "
            "optimizer."
        )


def _limit_after_rate(optimizer: optax.GradientTransformation) -> str | None:
    for links in _ways(optimizer):
        last = max((i for i, link in enumerate(links) if link in _RATES), default=len(links))
        for link in links[last + 1 :]:
            if link in _LIMITS:
                return link
    return None


def _ways(optimizer: object) -> set[tuple[str, ...]]:
    """The functions of Optax that made the links on each way through an optimizer, in order.

    There is one way, or one for each label of a partition. What is not Optax' own is not looked
    into, and neither is what another version of Optax keeps under other names: a limit in there is
    not found then, and nothing else is lost.
    """
    update, init = getattr(optimizer, "update", None), getattr(optimizer, "init", None)
    if not isinstance(update, FunctionType) or not update.__module__.startswith("optax."):
        return {()}
    made_by = update.__qualname__.split(".")[0]
    try:
        return _ways_inside(made_by, _closure(init) | _closure(update))
    except (KeyError, ValueError):
        return {()}


def _ways_inside(made_by: str, inside: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """The ways through what a function of Optax has made, of what it has kept of its call."""
    if made_by == "chain":
        links = [
            optax.GradientTransformation(*pair)
            for pair in zip(inside["init_fns"], inside["update_fns"], strict=True)
        ]
        return _joined(map(_ways, links))
    if made_by == "named_chain":
        return _joined(_ways(link) for _, link in inside["transforms"])
    if made_by == "partition":
        return set[tuple[str, ...]]().union(*map(_ways, inside["transforms"].values()))
    if made_by == "inject_hyperparams":
        made = _injected(inside)
        return {(made_by,)} if made is None else _ways(made)
    if made_by in _WRAPPERS:
        return _ways(inside["tx"] if "tx" in inside else inside["inner"])
    return {(made_by,)}


def _joined(parts: Iterable[set[tuple[str, ...]]]) -> set[tuple[str, ...]]:
    return {sum(way, ()) for way in itertools.product(*parts)}


def _injected(inside: Mapping[str, Any]) -> object | None:
    """The optimizer that ``inject_hyperparams`` makes at each update, made once more."""
    rates = dict.fromkeys(inside["sched_hps"], 1.0)
    try:
        made: object = inside["inner_factory"](
            **inside["other_hps"], **inside["numeric_hps"], **rates
        )
    except Exception:  # a factory of the user's may not take these numbers
        return None
    return made


def _closure(function: object) -> dict[str, Any]:
    """What a function of Optax has kept of the call that made it."""
    if not isinstance(function, FunctionType):
        return {}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}
