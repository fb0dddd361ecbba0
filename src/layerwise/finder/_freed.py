"""Memory of PyTorch's tensors that a search doesn't need, free for training until it ends.

What stays in the heap beside training takes the places that training had: gradients that a step
makes are then asked from the system anew every time, for up to a quarter of it
(``benchmarks/finder_overhead_torch.py``, 16 layers of 512).
"""

from typing import Any


class Freed:
    """A tensor that can be emptied, and filled again: the same tensor on the same storage.

    Others that share its storage are empty with it, and filled with it.

    Args:
        tensor: One of those that :func:`can_be_freed` allows.
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor.detach()
        self._values = self._tensor.clone()
        self._bytes = tensor.untyped_storage().nbytes()

    def empty(self) -> None:
        """Give its memory back."""
        self._tensor.untyped_storage().resize_(0)

    def fill(self) -> None:
        """Make it what it was, if it has been emptied."""
        storage = self._tensor.untyped_storage()
        if storage.nbytes() == 0:
            storage.resize_(self._bytes)
            self._tensor.copy_(self._values)


def can_be_freed(tensor: Any) -> bool:
    """Whether it fills memory of its own on the CPU.

    Not what is part of a larger block, lies in NumPy's memory, or is shared with other processes;
    nor on other devices, where addresses may be part of what was compiled.
    """
    if tensor.device.type != "cpu" or "strided" not in str(tensor.layout):
        return False
    if hasattr(tensor, "__tensor_flatten__") or tensor._is_view() or tensor.is_shared():
        return False
    storage = tensor.untyped_storage()
    size = tensor.numel() * tensor.element_size()
    return bool(storage.resizable() and 0 < storage.nbytes() == size)
