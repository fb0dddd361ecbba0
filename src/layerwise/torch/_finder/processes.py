"""Processes that train one model together: all see the same losses and stop at the same batch."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Processes:
    """The processes of a model; one process alone needs no agreement.

    Args:
        model: A model, wherever in it ``DistributedDataParallel`` or a sharding may be.
        device: On which they exchange numbers.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._device = device
        self._group = _group_of(model)
        self.size = 1 if self._group is None else dist.get_world_size(self._group)
        self.rank = 0 if self._group is None else dist.get_rank(self._group)

    def mean(self, loss: float) -> float:
        """The mean of a loss over the ranks, the same number on each."""
        if self.size == 1:
            return loss
        return self._reduced(loss, dist.ReduceOp.SUM) / self.size

    def together(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Batches that end on every rank where they end on one."""
        return batches if self.size == 1 else _Together(batches, self)

    def all_have(self, mine: bool) -> bool:
        """Whether it is true on every rank."""
        return self._reduced(float(mine), dist.ReduceOp.MIN) > 0

    def _reduced(self, number: float, operation: Any) -> float:
        tensor = torch.tensor(number, dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor, operation, group=self._group)
        return float(tensor)


class _Together:
    def __init__(self, batches: Iterable[Any], ranks: Processes) -> None:
        self._batches = batches
        self._ranks = ranks

    def __iter__(self) -> Iterator[Any]:
        drawing, end = iter(self._batches), object()
        while True:
            batch = next(drawing, end)
            if not self._ranks.all_have(batch is not end):
                return
            yield batch


def _group_of(model: nn.Module) -> Any:
    """The process group that a model is trained by, or None."""
    if not dist.is_available() or not dist.is_initialized():
        return None
    for module in model.modules():
        if isinstance(module, DistributedDataParallel):
            return module.process_group
    sharded = any(hasattr(tensor, "device_mesh") for tensor in model.parameters())
    if sharded or any("FullyShardedDataParallel" in type(m).__name__ for m in model.modules()):
        return dist.group.WORLD
    return None
