"""What becomes of an optimizer's state when it is saved, and before PyTorch loads it.

PyTorch gives the saved moments to the parameters in order, and looks at no name and no shape.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from layerwise._text import first_few
from layerwise.errors import OptimizerError
from layerwise.torch._groups.base_rate import BASE, FACTOR, base_of, group_names
from layerwise.torch._groups.group_parameters import NAMES, STATELESS, parameter_names
from layerwise.torch._groups.stored_multiplier import KEY, KEYS, data_in, with_function

_SAME = 1e-6

_BY_NAME = "layerwise.torch.load_optimizer_state(model, optimizer, state) loads by parameter name."


def state_for(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state that an optimizer should load.

    Groups saved without a name, factor or multiplier get those of the present groups, and where
    only the name of a function was saved, the function of the present group stays.

    Raises:
        OptimizerError: It is the state of other groups, or of other parameters.
    """
    groups, saved = optimizer.param_groups, state["param_groups"]
    _check_groups(groups, saved)
    changed = _changed(groups, saved)
    if changed:
        warnings.warn(
            f"The state has other multipliers for {first_few(changed)} than these groups were made "
            "with, and they count from now on. To go on under the present ones, load what the "
            "optimizer remembers of each parameter, and not its rates: "
            "layerwise.torch.load_optimizer_state(model, optimizer, state).",
            stacklevel=5,
        )
    merged = [
        {key: mine[key] for key in ("name", FACTOR, *KEYS, NAMES) if key in mine}
        | with_function(loaded, mine)
        | ({STATELESS: ""} if STATELESS in loaded else {})
        for mine, loaded in zip(groups, saved, strict=True)
    ]
    without = _without_state(saved)
    kept = {
        key: value
        for key, value in state["state"].items()
        if key not in without and not _is_empty(value)
    }
    return state | {"state": kept, "param_groups": merged}


def with_every_parameter(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Name the parameters in a state that have been frozen so far, and have none.

    A distributed checkpoint can't be loaded where one is missing. When it is loaded, PyTorch may
    put an empty entry in its place, or the state of a first step.
    """
    for group in state["param_groups"]:
        if KEY in group:
            places = [
                i for i, number in enumerate(group["params"]) if not state["state"].get(number)
            ]
            # Always there, and one text: PyTorch wants the same keys on both sides.
            group[STATELESS] = ",".join(map(str, places)) if state["state"] else ""
            for place in places if state["state"] else ():
                state["state"][group["params"][place]] = {}


def _without_state(saved: Sequence[Mapping[str, Any]]) -> set[object]:
    """The numbers, or names, of the parameters of which nothing was saved."""
    return {
        group["params"][int(place)]
        for group in saved
        for place in str(group.get(STATELESS, "")).split(",")
        if place
    }


def check_same_groups(saved: Sequence[object], present: Sequence[str]) -> None:
    """Raise unless the groups of a state are those of the optimizer.

    Raises:
        OptimizerError: They are others.
    """
    if list(saved) != list(present):
        raise OptimizerError(
            f"This is the state of other groups: of {first_few(saved)}, and the optimizer has "
            f"{first_few(present)}. Make the groups by the same rules, and add those that were "
            f"added later, before loading. To load an optimizer's state into other groups, "
            f"{_BY_NAME}"
        )


def _check_groups(groups: Sequence[dict[str, Any]], saved: Sequence[dict[str, Any]]) -> None:
    """Raise unless what is saved of each parameter would get to that parameter.

    Raises:
        OptimizerError: It would not.
    """
    names = group_names(groups)
    if any("name" in group for group in saved):
        check_same_groups(group_names(saved), names)
    if len(saved) != len(groups):
        raise OptimizerError(
            f"The state has {len(saved)} groups, and the optimizer has {len(groups)} "
            f"({first_few(names)}). {_BY_NAME}"
        )
    for name, mine, loaded in zip(names, groups, saved, strict=True):
        here, there = parameter_names(mine), parameter_names(loaded)
        if len(mine["params"]) != len(loaded["params"]) or (here and there and here != there):
            raise OptimizerError(
                f"The group {name!r} has other parameters in the state: "
                f"{_told(there, loaded)}, and here {_told(here, mine)}. {_BY_NAME}"
            )


def _told(names: Sequence[str] | None, group: Mapping[str, Any]) -> str:
    return first_few(names) if names else f"{len(group['params'])} without names"


def _changed(groups: Sequence[dict[str, Any]], saved: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the groups of ``param_groups`` whose multiplier in the state is another one."""
    names = group_names(groups)
    ratios: dict[str, tuple[float, bool]] = {}
    moved = []
    for name, mine, loaded in zip(names, groups, saved, strict=True):
        if BASE not in mine or BASE not in loaded:
            continue
        if any(data_in(mine.get(key)) != data_in(loaded.get(key)) for key in KEYS):
            moved.append(name)
        elif KEY not in mine and mine[BASE] and loaded[BASE] and base_of(mine):
            ratio = base_of(loaded) / loaded[BASE] * mine[BASE] / base_of(mine)
            ratios[name] = ratio, "initial_lr" in loaded
    # A flattened checkpoint may have lost base rates. What it has is all at one factor then.
    found = [ratio for ratio, certain in ratios.values() if not certain]
    scaled = bool(found) and max(found) - min(found) <= _SAME * max(found)
    return moved + [
        name
        for name, (ratio, certain) in ratios.items()
        if abs(ratio - 1) > _SAME and (certain or not scaled)
    ]


def _is_empty(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(each, Mapping) and not each for each in value.values()
    )
