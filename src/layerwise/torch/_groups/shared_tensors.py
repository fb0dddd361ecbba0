"""Settings that are tensors, and that PyTorch has given to several groups at once."""

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

_KEYS = ("lr", "momentum", "betas", "weight_decay")


def separate_tensors(optimizer: Optimizer) -> None:
    """Give each group a tensor of its own where it shares one with another group.

    PyTorch hands an optimizer's default to every group that has no value of its own. A tensor is
    filled in place, so that all of these groups would get the rate of the last one, and groups that
    are added later the scheduled rate for their base. The first group keeps the tensor itself.
    """
    taken: set[int] = set()
    for settings in (*optimizer.param_groups, optimizer.defaults):
        for key in _KEYS:
            value = settings.get(key)
            if isinstance(value, Tensor | tuple):
                settings[key] = _separated(value, taken)


def _separated(value: Any, taken: set[int]) -> Any:
    if isinstance(value, tuple):
        parts = tuple(_separated(part, taken) for part in value)
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else parts
    if not isinstance(value, Tensor):
        return value
    if id(value) in taken:
        return value.detach().clone()
    taken.add(id(value))
    return value
