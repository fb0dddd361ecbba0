"""What becomes of an optimizer's state before PyTorch loads it.

PyTorch gives the saved moments to the parameters in order, and looks at no name and no shape.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer

from layerwise.errors import OptimizerError
from layerwise.torch._groups.base_rate import BASE, base_of, group_names
from layerwise.torch._groups.group_parameters import NAMES, parameter_names
from layerwise.torch._groups.stored_multiplier import KEY, data_in, with_function
from layerwise.torch._scheduler.group_schedules import listed

_BY_NAME = "layerwise.torch.load_optimizer_state(model, optimizer, state) loads by parameter name."


def state_for(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state that an optimizer should load.

    Groups saved without a name or multiplier get those of the present groups, and where only the
    name of a function was saved, the function of the present group stays.

    Raises:
        OptimizerError: It is the state of other groups, or of other parameters.
    """
    groups, saved = optimizer.param_groups, state["param_groups"]
    _check_groups(groups, saved)
    changed = [
        name
        for name, mine, loaded in zip(group_names(groups), groups, saved, strict=True)
        if _is_changed(mine, loaded)
    ]
    if changed:
        warnings.warn(
            f"The state has other multipliers for {listed(changed)} than these groups were made "
            "with, and they count from now on. To go on under the present ones, load what the "
            "optimizer remembers of each parameter, and not its rates: "
            "layerwise.torch.load_optimizer_state(model, optimizer, state).",
            stacklevel=5,
        )
    merged = [
        {key: mine[key] for key in ("name", KEY, NAMES) if key in mine}
        | with_function(loaded, mine)
        for mine, loaded in zip(groups, saved, strict=True)
    ]
    # A distributed checkpoint has an empty entry in place of each that was not saved.
    kept = {key: value for key, value in state["state"].items() if not _is_empty(value)}
    return state | {"state": kept, "param_groups": merged}


def check_same_groups(saved: Sequence[object], present: Sequence[str]) -> None:
    """Raise unless the groups of a state are those of the optimizer.

    Raises:
        OptimizerError: They are others.
    """
    if list(saved) != list(present):
        raise OptimizerError(
            f"This is the state of other groups: of {listed(saved)}, and the optimizer has "
            f"{listed(present)}. Make the groups by the same rules, and add those that were added "
            f"later, before loading. To load an optimizer's state into other groups, "
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
            f"({listed(names)}). {_BY_NAME}"
        )
    for name, mine, loaded in zip(names, groups, saved, strict=True):
        here, there = parameter_names(mine), parameter_names(loaded)
        if len(mine["params"]) != len(loaded["params"]) or (here and there and here != there):
            raise OptimizerError(
                f"The group {name!r} has other parameters in the state: "
                f"{_told(there, loaded)}, and here {_told(here, mine)}. {_BY_NAME}"
            )


def _told(names: Sequence[str] | None, group: Mapping[str, Any]) -> str:
    return listed(names) if names else f"{len(group['params'])} without names"


def _is_changed(mine: Mapping[str, Any], loaded: Mapping[str, Any]) -> bool:
    """Whether two groups of ``param_groups`` have different multipliers."""
    if BASE not in mine or BASE not in loaded:
        return False
    if KEY in mine or KEY in loaded:
        return data_in(mine.get(KEY)) != data_in(loaded.get(KEY))
    here, there = (base_of(group) / (group[BASE] or 1.0) for group in (mine, loaded))
    return abs(here - there) > 1e-6 * max(here, there)


def _is_empty(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(each, Mapping) and not each for each in value.values()
    )
