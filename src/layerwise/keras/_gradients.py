"""The gradients that PyTorch's tensors have before a search, out of its way until it ends."""

from typing import Any


class Gradients:
    """Takes the gradients from a model's weights, and their memory where it is theirs alone.

    What stays in the heap beside training takes the places that training had: the gradients that a
    step makes are then asked from the system anew every time, for up to a quarter of a step
    (``benchmarks/finder_overhead.py --backend torch``, 16 layers of 512).

    Args:
        model: A model of Keras on PyTorch.
    """

    def __init__(self, model: Any) -> None:
        weights = [variable.value for variable in model.trainable_variables]
        self._taken = [(weight, weight.grad) for weight in weights]
        own = [gradient.detach() for _, gradient in self._taken if _is_on_its_own(gradient)]
        # All are copied before the first is emptied, or copies would take the places.
        self._emptied = [(g, g.clone(), g.untyped_storage().nbytes()) for g in own]
        for gradient in own:
            gradient.untyped_storage().resize_(0)
        for weight in weights:
            weight.grad = None

    def put_back(self) -> None:
        """Give them back: the same tensors on the same storage, with the same values."""
        for gradient, values, size in self._emptied:
            gradient.untyped_storage().resize_(size)
            gradient.copy_(values)
        for weight, gradient in self._taken:
            weight.grad = gradient


def _is_on_its_own(tensor: Any) -> bool:
    """Whether it is a plain tensor that fills memory of PyTorch's on the CPU.

    Not what is part of a larger block, lies in NumPy's memory, or is shared with other processes;
    nor on other devices, where addresses may be part of what was compiled.
    """
    import torch

    if type(tensor) is not torch.Tensor or tensor.layout != torch.strided:
        return False
    storage, size = tensor.untyped_storage(), tensor.numel() * tensor.element_size()
    if tensor.device.type != "cpu" or tensor._is_view() or storage.is_shared():
        return False
    resizable: bool = storage.resizable()
    return resizable and 0 < storage.nbytes() == size
