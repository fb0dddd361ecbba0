"""Whose state is loaded: that of the same groups, or of groups that had no names yet."""

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from layerwise.errors import OptimizerError
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._scheduler.group_schedules import listed, names_of


def check_same_groups(saved: Sequence[Any], present: Sequence[str]) -> None:
    """Raise unless the groups of a state are those of the optimizer.

    Raises:
        OptimizerError: They are others.
    """
    if list(saved) != list(present):
        raise OptimizerError(
            f"This is the state of other groups: of {listed(saved)}, and the optimizer has "
            f"{listed(present)}. Make the groups by the same rules, and add those that were added "
            "later, before loading."
        )


def state_for(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The optimizer's state to load: of plain groups, it keeps what ours have beside.

    Raises:
        OptimizerError: It is the state of groups with other names.
    """
    groups, saved = optimizer.param_groups, state["param_groups"]
    if any("name" in group for group in saved):
        check_same_groups([group.get("name") for group in saved], names_of(optimizer))
    if len(saved) != len(groups):
        return state  # PyTorch's own error is clear
    ours = [{key: g[key] for key in ("name", stored_multiplier.KEY) if key in g} for g in groups]
    merged = [mine | its for mine, its in zip(ours, saved, strict=True)]
    return state | {"param_groups": merged}
