"""Copies of PyTorch's tensors that leave the heap to training."""

from typing import Any


def in_one_piece(tensors: list[Any]) -> list[Any]:
    """Copies that lie side by side, in one block for each type and device.

    Tensor by tensor, what is kept would take the free places of the heap from which training gets
    its gradients. These were then asked from the system anew at every step, for a quarter of it
    (benchmarks/finder_overhead.py, 16 layers of 512: 1.28 of a plain step, and 1.02 so).
    """
    import torch

    alike: dict[Any, list[int]] = {}
    for place, tensor in enumerate(tensors):
        alike.setdefault((tensor.dtype, tensor.device), []).append(place)
    copies = list(tensors)
    for places in alike.values():
        block = torch.cat([tensors[place].reshape(-1) for place in places])
        parts = torch.split(block, [tensors[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            copies[place] = part.view(tensors[place].shape)
    return copies
