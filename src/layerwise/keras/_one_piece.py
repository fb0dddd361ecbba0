"""Copies of PyTorch's tensors that leave the heap to training."""

from typing import Any


def in_one_piece(tensors: list[Any]) -> list[Any]:
    """Copies; those on the CPU lie side by side, in one block for each type.

    Tensor by tensor, what is kept would take the free places of the heap from which training gets
    its gradients (see ``._gradients``). Elsewhere a block of the size of a model may
    find no place.
    """
    import torch

    alike: dict[Any, list[int]] = {}
    copies = list(tensors)
    for place, tensor in enumerate(tensors):
        if tensor.device.type == "cpu":
            alike.setdefault(tensor.dtype, []).append(place)
        else:
            copies[place] = tensor.clone()
    for places in alike.values():
        block = torch.cat([tensors[place].reshape(-1) for place in places])
        parts = torch.split(block, [tensors[place].numel() for place in places])
        for place, part in zip(places, parts, strict=True):
            copies[place] = part.view(tensors[place].shape)
    return copies
