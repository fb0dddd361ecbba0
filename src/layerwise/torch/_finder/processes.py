"""The processes beside this one: those that train the model together, and a loader's workers."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from layerwise.finder import arrays_in

Batch = TypeVar("Batch")


class Processes:
    """The processes that train a model; one process alone needs no agreement.

    Args:
        model: A model, with ``DistributedDataParallel`` or a sharding anywhere in it.
        device: The device on which they exchange numbers.
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

    def together(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """The batches, which end on every rank as soon as they end on one."""
        return batches if self.size == 1 else _Together(batches, self)

    def all_have(self, mine: bool) -> bool:
        """Whether it is true on every rank."""
        return self._reduced(float(mine), dist.ReduceOp.MIN) > 0

    def _reduced(self, number: float, operation: dist.ReduceOp.RedOpType) -> float:
        tensor = torch.tensor(number, dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor, operation, group=self._group)
        return float(tensor)


@dataclass(frozen=True)
class _Together(Generic[Batch]):
    batches: Iterable[Batch]
    ranks: Processes

    def __iter__(self) -> Iterator[Batch]:
        source, end = iter(self.batches), object()
        while True:
            batch = next(source, end)
            if not self.ranks.all_have(batch is not end):
                return
            yield batch  # type: ignore[misc]  # it is not the end


def from_workers(loader: Iterable[Batch]) -> Iterable[Batch]:
    """The batches of a loader, such that a search can keep many and leaves the workers as they are.

    Workers that outlive an epoch have random states that nobody can set back, so a copy of the
    loader starts workers of its own; ``DataLoader`` keeps them in ``_iterator`` (PyTorch 1.7 to
    2.13). Tensors from workers are in shared memory, where each holds a file open, so they are
    copied out of it.
    """
    if getattr(loader, "persistent_workers", False):
        loader = copy.copy(loader)
        vars(loader)["_iterator"] = None
    return _Unshared(loader) if getattr(loader, "num_workers", 0) else loader


@dataclass(frozen=True)
class _Unshared(Generic[Batch]):
    loader: Iterable[Batch]

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            for array in arrays_in(batch):
                if isinstance(array, Tensor) and array.is_shared():  # type: ignore[no-untyped-call]
                    array.data = array.data.clone()
            yield batch


def _group_of(model: nn.Module) -> dist.ProcessGroup | None:
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
