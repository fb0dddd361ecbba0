"""What these optimizers call of PyTorch beyond its documented interface.

Seen in PyTorch 2.11 and 2.13. No other file of this folder reads a private name of PyTorch;
``tests/torch/optim/test_internals.py`` holds what is relied on.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import OptimizerError

try:
    from torch import _foreach_add as added
    from torch import _foreach_add_ as add_
    from torch import _foreach_addcdiv_ as addcdiv_
    from torch import _foreach_addcmul as addcmul
    from torch import _foreach_addcmul_ as addcmul_
    from torch import _foreach_div_ as divide_
    from torch import _foreach_lerp_ as lerp_
    from torch import _foreach_maximum_ as maximum_
    from torch import _foreach_mul as multiplied
    from torch import _foreach_mul_ as multiply_
    from torch import _foreach_neg as negated
    from torch import _foreach_neg_ as negate_
    from torch import _foreach_pow as power
    from torch import _foreach_reciprocal_ as invert_
    from torch import _foreach_sqrt as square_root
    from torch import _foreach_sqrt_ as square_root_
    from torch import _foreach_sub as subtracted
    from torch import _foreach_sub_ as subtract_
    from torch import _fused_adagrad_ as fused_adagrad_
    from torch import _fused_adam_ as fused_adam_
    from torch import _fused_adamw_ as fused_adamw_
    from torch import _fused_sgd_ as fused_sgd_
    from torch.optim.optimizer import _default_to_fused_or_foreach
    from torch.optim.optimizer import _use_grad_for_differentiable as in_its_grad_mode
except ImportError as error:
    raise OptimizerError(
        f"layerwise.torch.optim can't run on PyTorch {torch.__version__}: {error}. Use the classes "
        "of torch.optim: they compute the same, and only take longer with many groups."
    ) from error

Lists: TypeAlias = list[list[Tensor]]

__all__ = [
    "Lists",
    "add_",
    "addcdiv_",
    "addcmul",
    "addcmul_",
    "added",
    "by_device_and_dtype",
    "check_graph_capture",
    "divide_",
    "fused_adagrad_",
    "fused_adam_",
    "fused_adamw_",
    "fused_sgd_",
    "gather",
    "in_its_grad_mode",
    "invert_",
    "lerp_",
    "maximum_",
    "multiplied",
    "multiply_",
    "negate_",
    "negated",
    "power",
    "prefers_foreach",
    "square_root",
    "square_root_",
    "step_without_hooks",
    "subtract_",
    "subtracted",
]


def by_device_and_dtype(lists: Lists) -> list[tuple[Lists, list[int]]]:
    """Aligned lists of tensors, apart for each device and dtype of the first one's tensors.

    Returns:
        The parts of the lists, and at which places their tensors stood. An empty list stays empty.
    """
    parts = Optimizer._group_tensors_by_device_and_dtype(lists, with_indices=True)  # type: ignore[arg-type]
    return list(parts.values())  # type: ignore[arg-type]


def gather(optimizer: Optimizer, group: dict[str, Any], lists: Lists) -> None:
    """Append a group's parameters that have a gradient, the gradients, and the states.

    States are made at a parameter's first step. The lists are as many, and in such an order, as
    ``_init_group`` of the optimizer's class fills.
    """
    optimizer._init_group(group, *lists)  # type: ignore[attr-defined]


def prefers_foreach(parameters: Sequence[Tensor]) -> bool:
    """Whether PyTorch updates these by its foreach functions when nothing was asked for."""
    return _default_to_fused_or_foreach(list(parameters), differentiable=False)[1]


def check_graph_capture(optimizer: Optimizer) -> None:
    """Refuse to be captured in a CUDA graph without ``capturable=True``, as PyTorch does."""
    if "capturable" in optimizer.defaults:
        names = ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check")
        next(getattr(optimizer, name) for name in names if hasattr(optimizer, name))()


def step_without_hooks(optimizer: type[Optimizer]) -> Callable[[Optimizer], object]:
    """The ``step`` of a class, without the hooks and the grad mode that PyTorch puts around it."""
    step: Callable[[Optimizer], object] = inspect.unwrap(optimizer.step)
    return step
