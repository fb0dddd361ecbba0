"""The parameters of a group on their way into an optimizer.

A group has to be watched from its first step on: if a multiplier moves and no ``ScheduleLR``
applies it, any scheduler of PyTorch's would undo it without a word. PyTorch has hooks on an
optimizer's steps, but doesn't tell a group which optimizer it has joined. And once it has joined,
it must be a plain dictionary with a plain list, or a compiled step fails. So the group looks at its
caller: ``Optimizer.add_param_group`` makes a list of the parameters, which is the one moment at
which they can see whose they become.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

NAMES = "parameter_names"
"""Where a group of ``param_groups`` keeps its parameters' names.

PyTorch's own ``param_names`` would not do: a group without any could not be added beside it.
"""

STATELESS = "parameters_without_state"
"""Where a saved group whose multiplier moves has the places of its parameters without a state.

It is there at all times, and one text: a distributed checkpoint wants the same keys on both sides.
"""


class GroupParameters(list[Tensor]):
    """Parameters that tell which optimizer makes a list of them.

    Args:
        parameters: The parameters.
        on_join: Called with the optimizer.
    """

    _on_join: Callable[[Optimizer], object] | None = None

    def __init__(
        self,
        parameters: Iterable[Tensor] = (),
        on_join: Callable[[Optimizer], object] | None = None,
    ) -> None:
        super().__init__(parameters)
        self._on_join = on_join

    def __iter__(self) -> Iterator[Tensor]:
        optimizer = joined()
        if self._on_join is not None and optimizer is not None:
            self._on_join(optimizer)
        return super().__iter__()


def joined() -> Optimizer | None:
    """The optimizer whose method has called the caller of this function."""
    owner = sys._getframe(2).f_locals.get("self")
    return owner if isinstance(owner, Optimizer) else None


def parameter_names(group: Mapping[str, Any]) -> list[str] | None:
    """The names of a group's parameters, PyTorch's or ours; None if it has none that fit."""
    for key in ("param_names", NAMES):
        names = group.get(key)
        if names is not None and len(names) == len(group["params"]):
            return list(names)
    return None
