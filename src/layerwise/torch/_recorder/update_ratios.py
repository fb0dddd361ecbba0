"""How far an update moved each layer, relative to its size."""

import torch
from torch import Tensor

from layerwise.torch._parameters import SEPARATOR, Named, named_tensors


class UpdateRatios:
    r"""The update-to-weight ratio of each layer, computed on the device.

    $$\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$$

    over all parameters of the layer that train at this step; of complex ones, over both of their
    parts. Of parameters that ``fully_shard`` has divided, over the part that this process has: the
    others don't measure, and would not answer.

    Args:
        model: A module, or its named parameters.
        every: Measure the updates whose step is a multiple of this.
    """

    def __init__(self, model: Named, every: int) -> None:
        members: dict[str, list[Tensor]] = {}
        for named in named_tensors(model):
            layer = named.short.rpartition(SEPARATOR)[0] or named.short
            members.setdefault(layer, []).append(named.tensor)
        self._members, self._every = members, every
        self._before: dict[str, list[tuple[Tensor, Tensor]]] = {}

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Copy the weights before the update of a step that is to be measured."""
        self._before = {}
        for name, layer in self._members.items() if step % self._every == 0 else ():
            trained = [tensor for tensor in layer if tensor.requires_grad]  # others may be, later
            here = [tensor for tensor in trained if _part_here(tensor).numel()]
            if here:
                self._before[name] = [(tensor, _part_here(tensor).clone()) for tensor in here]

    @torch.no_grad()
    def after(self, last: bool = True) -> dict[str, Tensor] | None:
        """The ratio of each layer, still on its device; None if the update is not measured.

        Args:
            last: Whether no other optimizer has yet to make its part of the update.
        """
        found: dict[str, Tensor] = {}
        for name, layer in self._before.items():
            moved = [_part_here(now) - then for now, then in layer]
            found[name] = _norm(moved) / _norm([then for _, then in layer])
        if last:
            self._before = {}
        return found or None


def _part_here(tensor: Tensor) -> Tensor:
    """The values of a parameter that this process has: all, or its shard of a ``DTensor``."""
    shard = getattr(tensor, "to_local", None)
    found: Tensor = tensor.detach() if shard is None else shard().detach()
    return found


def _norm(tensors: list[Tensor]) -> Tensor:
    real = [torch.view_as_real(tensor) if tensor.is_complex() else tensor for tensor in tensors]
    # At least in float32: the squares of a half would overflow. A double is never narrowed.
    norms = [
        torch.linalg.vector_norm(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))
        for tensor in real
    ]
    together = torch.stack([norm.to(norms[0].device, torch.float32) for norm in norms])
    size: Tensor = torch.linalg.vector_norm(together)
    return size
