"""What ``backward()`` computes for frozen groups, dropped before anything else can see it.

A gradient that is only withheld while the optimizer steps is still there for what comes between
``backward()`` and the step: for ``clip_grad_norm_``, which scales all gradients by their common
norm, and for ``GradScaler``, which leaves an update out if any of them is not finite. So a frozen
parameter gets a hook that takes its gradient away as soon as it has been accumulated, and loses
the hook when it thaws. ``requires_grad`` is left alone: ``DistributedDataParallel`` reads it once
when it wraps a model, and waits for each such parameter in every step.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import finalize, ref

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

Group = dict[str, Any]


class FrozenGradients:
    """Drops the gradients of parameters while they are frozen, for as long as this object lives.

    A copy, also through pickle, holds nothing: hooks don't go with a tensor's copy either.
    """

    def __init__(self) -> None:
        self._groups: Sequence[Group] = ()
        self._hooks: dict[Tensor, RemovableHandle] = {}
        self._let_go: set[Tensor] = set()
        self._watching = False

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(self), ()

    def hold(self, optimizer: Optimizer, groups: Sequence[Group]) -> None:
        """Drop the gradients of these groups from now on, and those of no others.

        Args:
            optimizer: The optimizer whose groups they are.
            groups: Those that are frozen.
        """
        same = zip(groups, self._groups, strict=False)
        if len(groups) == len(self._groups) and all(new is old for new, old in same):
            return
        self._groups = tuple(groups)
        tensors = {tensor for group in groups for tensor in group["params"]} - self._let_go
        _remove({tensor: self._hooks.pop(tensor) for tensor in self._hooks.keys() - tensors})
        for tensor in tensors - self._hooks.keys():
            handle = _dropping(tensor)
            if handle is not None:
                self._hooks[tensor] = handle
        if self._hooks and not self._watching:
            self._watching = True
            watch = _watch(optimizer, self._hooks, self._let_go)
            for remove, held in ((_remove, self._hooks), (_remove, {optimizer: watch})):
                finalize(self, remove, held).atexit = False


def drop(groups: Iterable[Group]) -> None:
    """Drop the gradients that these groups have now, wherever they come from."""
    for group in groups:
        for tensor in group["params"]:
            tensor.grad = None


def _drop(tensor: Tensor) -> None:
    tensor.grad = None


def _dropping(tensor: Tensor) -> RemovableHandle | None:
    """Have each gradient of a parameter dropped; None if ``backward()`` gives it none, ever."""
    if not tensor.is_leaf or not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    trains = tensor.requires_grad
    try:
        # A hook needs a tensor that trains. One that doesn't yet may do so at any later time.
        return tensor.requires_grad_(True).register_post_accumulate_grad_hook(_drop)
    finally:
        tensor.requires_grad_(trains)


def _remove(handles: Mapping[object, RemovableHandle]) -> None:
    for handle in handles.values():
        handle.remove()


def _watch(
    optimizer: Optimizer, hooks: dict[Tensor, RemovableHandle], let_go: set[Tensor]
) -> RemovableHandle:
    """Let go of parameters that another optimizer trains, and say so.

    A scheduler may outlive its training, in a notebook or in a trainer. It must not keep the
    layers frozen, without a word, in a training that has nothing to do with it.
    """
    mine = ref(optimizer)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_step(other: Optimizer, args: object, kwargs: object) -> None:
        if not hooks or _belong_together(other, mine()):
            return
        tensors = {tensor for group in other.param_groups for tensor in group["params"]}
        taken = hooks.keys() & tensors
        if taken:
            let_go.update(taken)
            _remove({tensor: hooks.pop(tensor) for tensor in taken})
            warnings.warn(
                f"{type(other).__name__} trains {len(taken)} parameters that a ScheduleLR of "
                "another optimizer has frozen, so that this first update leaves them out. That "
                "ScheduleLR now lets go of them. Delete it before other training begins.",
                stacklevel=3,
            )

    return register_optimizer_step_pre_hook(before_step)


def _belong_together(one: Optimizer, other: Optimizer | None) -> bool:
    """Whether two optimizers are one: they share groups, or one of them is within the other."""
    if other is None:
        return False
    groups = {id(group) for group in other.param_groups}
    return (
        any(id(group) in groups for group in one.param_groups)
        or any(value is one for value in vars(other).values())
        or any(value is other for value in vars(one).values())
    )
