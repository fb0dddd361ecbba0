"""Parameters that rules freeze for good, remembered beside the groups that they are not in.

A multiplier that is the number 0 keeps a parameter out of all groups. Its gradient is still
computed, ``optimizer.zero_grad()`` doesn't clear it, and ``clip_grad_norm_(model.parameters())``
counts it. So a ``ScheduleLR`` has to know of it. A group can't tell, because an optimizer's state
is made of its groups; so the first parameter of each group does.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Self
from weakref import ref

from torch import Tensor

_ATTRIBUTE = "frozen_beside"


class _FrozenBeside:
    """References to parameters, which neither keep them alive nor go into a file or a copy."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = [ref(tensor) for tensor in tensors]

    def tensors(self) -> list[Tensor]:
        """Those that are still there."""
        return [tensor for each in self._tensors if (tensor := each()) is not None]

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return OrderedDict, ()  # what torch.load(weights_only=True) can make


def write_frozen(groups: Sequence[dict[str, Any]], tensors: Sequence[Tensor]) -> None:
    """Remember the parameters that were left out of these groups, in place of earlier ones."""
    for group in groups:
        first = group["params"][0]
        if tensors or hasattr(first, _ATTRIBUTE):
            setattr(first, _ATTRIBUTE, _FrozenBeside(tensors))


def read_frozen(groups: Iterable[dict[str, Any]]) -> list[Tensor]:
    """The parameters that were left out of these groups because they are frozen."""
    firsts = [tensor for group in groups for tensor in group["params"][:1]]
    found = [getattr(first, _ATTRIBUTE, None) for first in firsts]
    return [t for each in found if isinstance(each, _FrozenBeside) for t in each.tensors()]
