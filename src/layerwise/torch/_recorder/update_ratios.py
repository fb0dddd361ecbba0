"""How far an update moved each layer, relative to its size."""

import torch
from torch import Tensor

from layerwise.torch._parameters import SEPARATOR, Named, named_tensors


class UpdateRatios:
    r"""The update-to-weight ratio of each layer, computed on the device.

    $$\lVert W_{t+1} - W_t \rVert / \lVert W_t \rVert$$

    over all trained parameters of the layer; of complex ones, over both of their parts.

    Args:
        model: A module, or its named parameters.
        every: Measure the updates whose step is a multiple of this.
    """

    def __init__(self, model: Named, every: int) -> None:
        members: dict[str, list[Tensor]] = {}
        for named in named_tensors(model):
            if named.tensor.requires_grad:
                layer = named.short.rpartition(SEPARATOR)[0] or named.short
                members.setdefault(layer, []).append(named.tensor)
        self.layers, self._every = tuple(members), every
        self._members = tuple(members.values())
        self._before: list[list[Tensor]] = []

    @torch.no_grad()
    def before(self, step: int) -> None:
        """Copy the weights before the update of a step that is to be measured."""
        measured = self._members if step % self._every == 0 else ()
        self._before = [[tensor.detach().clone() for tensor in layer] for layer in measured]

    @torch.no_grad()
    def after(self, last: bool = True) -> dict[str, Tensor] | None:
        """The ratio of each layer, still on its device; None if the update is not measured.

        Args:
            last: Whether no other optimizer has yet to make its part of the update.
        """
        found: dict[str, Tensor] = {}
        for name, layer, old in zip(self.layers, self._members, self._before, strict=False):
            moved = [now.detach() - then for now, then in zip(layer, old, strict=True)]
            found[name] = _norm(moved) / _norm(old)
        if last:
            self._before = []
        return found or None


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
