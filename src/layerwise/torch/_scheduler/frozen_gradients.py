"""What ``backward()`` computes for frozen groups, dropped before anything else can see it.

A gradient that is only withheld while the optimizer steps is still there for what comes between
``backward()`` and the step: for ``clip_grad_norm_``, which scales all gradients by their common
norm, and for ``GradScaler``, which leaves an update out if any of them is not finite. So a frozen
parameter gets a hook that takes its gradient away as soon as it has been accumulated, and loses
the hook when it thaws. ``requires_grad`` is left alone: ``DistributedDataParallel`` reads it once
when it wraps a model, and waits for each such parameter in every step.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import is_
from typing import Any
from weakref import finalize, ref

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from layerwise.torch._groups.frozen_beside import read_frozen

Group = dict[str, Any]

_HOOKS = "_post_accumulate_grad_hooks"
"""Where a tensor keeps these hooks by their numbers (PyTorch 2.1 to 2.13), or has None."""


class FrozenGradients:
    """Drops the gradients of parameters while they are frozen, for as long as this object lives.

    A copy, even through pickle, holds nothing yet: hooks don't go with a tensor's copy either.
    """

    def __init__(self, left_out: Sequence[Tensor] = ()) -> None:
        self._groups: tuple[int, Sequence[Group]] = (0, ())
        self._left_out = list(left_out)
        self._holder: _Holder | None = None

    def __reduce__(self) -> tuple[type, tuple[list[Tensor]]]:
        return type(self), (self._left_out,)

    def hold(self, optimizer: Optimizer, groups: Sequence[Group]) -> None:
        """Drop the gradients of these groups from now on, and those of no others.

        What rules have left out of all groups is frozen for good, and held too.

        Args:
            optimizer: The optimizer whose groups they are.
            groups: Those that are frozen.
        """
        number, before = self._groups
        known = len(optimizer.param_groups) == number and len(groups) == len(before)
        if known and all(map(is_, groups, before)):
            return
        if len(optimizer.param_groups) != number:
            # Two optimizers may share a model, and each leave out what the other one trains.
            together = [optimizer, *(holder.optimizer for holder, _ in take_over(optimizer))]
            trained = set().union(*(_tensors(each.param_groups) for each in together if each))
            left_out = {*self._left_out, *read_frozen(optimizer.param_groups)}
            self._left_out = list(left_out - trained)
        self._groups = len(optimizer.param_groups), tuple(groups)
        tensors = _tensors(groups) | set(self._left_out)
        if self._holder is None:
            if not tensors:
                return
            self._holder = _Holder(optimizer)
            # Not a decorator: PyTorch would load its compiler as soon as this file is imported.
            untraced = torch.compiler.disable(self._holder.before_step)  # type: ignore[no-untyped-call]
            watch = register_optimizer_step_pre_hook(untraced)
            finalize(self, self._holder.hold, set()).atexit = False
            finalize(self, watch.remove).atexit = False
        self._holder.number = len(optimizer.param_groups)
        self._holder.hold(tensors)


def drop(groups: Iterable[Group]) -> None:
    """Drop the gradients that these groups have now, wherever they come from."""
    for tensor in _tensors(groups):
        tensor.grad = None


def take_over(
    optimizer: Optimizer, beside: Sequence[Optimizer] = ()
) -> list[tuple["_Holder", Tensor]]:
    """Have schedulers of other optimizers let go of the parameters of this one.

    A scheduler may outlive its training, in a notebook or in a trainer. It must not keep layers
    frozen, without a word, in a training that has nothing to do with it.

    Args:
        optimizer: The optimizer.
        beside: Others of the same training, whose schedulers hold on.

    Returns:
        Who let go of which parameter.
    """
    found = [
        (hook, tensor)
        for group in optimizer.param_groups
        for tensor in group["params"]
        for hook in (getattr(tensor, _HOOKS, None) or {}).values()
        if isinstance(hook, _Holder) and not any(map(hook.belongs_to, (optimizer, *beside)))
    ]
    for holder, tensor in found:
        holder.let_go({tensor})
    return found


@contextmanager
def released_by_others(optimizer: Optimizer, beside: Sequence[Optimizer] = ()) -> Iterator[None]:
    """While the block runs, other optimizers' schedulers freeze none of an optimizer's parameters.

    Args:
        optimizer: The optimizer.
        beside: Optimizers whose schedulers may go on freezing them.
    """
    found = take_over(optimizer, beside)
    try:
        yield
    finally:
        for holder, tensor in found:
            holder.take_again(tensor)


class _Holder:
    """The hook of some parameters: called with one of them, it drops the gradient.

    Attributes:
        number: How many groups the optimizer had when it was last asked.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._its_optimizer = ref(optimizer)
        self._wanted: set[Tensor] = set()
        self._lost: set[Tensor] = set()
        self._handles: dict[Tensor, RemovableHandle] = {}
        self.number = 0

    def __call__(self, tensor: Tensor) -> None:
        mine = self.optimizer
        added = [] if mine is None else mine.param_groups[self.number :]
        if not added or tensor not in _tensors(added):  # it may have begun to train
            tensor.grad = None

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimizer whose groups these are in, if it still lives."""
        return self._its_optimizer()

    def hold(self, tensors: set[Tensor]) -> None:
        """Hold these parameters, except those that were lost to other optimizers."""
        self._wanted = tensors
        wanted = tensors - self._lost
        for tensor in self._handles.keys() - wanted:
            self._handles.pop(tensor).remove()
        for tensor in wanted - self._handles.keys():
            if (handle := _hooked(tensor, self)) is not None:
                self._handles[tensor] = handle

    def let_go(self, tensors: set[Tensor]) -> None:
        """Hold these no longer, even when they are frozen again."""
        self._lost |= tensors
        self.hold(self._wanted)

    def take_again(self, tensor: Tensor) -> None:
        """Take back what was let go."""
        self._lost.discard(tensor)
        self.hold(self._wanted)

    def belongs_to(self, optimizer: Optimizer) -> bool:
        """Whether an optimizer is the one of the held parameters, or within it or around it."""
        mine = self.optimizer
        if mine is None:
            return False
        groups = {id(group) for group in mine.param_groups}
        return (
            any(id(group) in groups for group in optimizer.param_groups)
            or any(value is optimizer for value in vars(mine).values())
            or any(value is mine for value in vars(optimizer).values())
        )

    def before_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """Let go of parameters that another optimizer has begun to train, and say so."""
        if not self._handles or self.belongs_to(optimizer):
            return
        taken = self._handles.keys() & _tensors(optimizer.param_groups)
        if taken:
            self.let_go(taken)
            warnings.warn(
                f"{type(optimizer).__name__} trains {len(taken)} parameters that a ScheduleLR of "
                "another optimizer has frozen, so that this first update leaves them out. That "
                "ScheduleLR now lets go of them. Delete it before other training begins.",
                stacklevel=3,
            )


def _tensors(groups: Iterable[Group]) -> set[Tensor]:
    return {tensor for group in groups for tensor in group["params"]}


def _hooked(tensor: Tensor, hook: _Holder) -> RemovableHandle | None:
    """Give a parameter a hook; None if ``backward()`` never computes a gradient for it."""
    differentiable = tensor.is_floating_point() or tensor.is_complex()
    if not differentiable or not tensor.is_leaf or tensor.is_inference():
        return None
    trains = tensor.requires_grad
    try:
        # A hook needs a tensor that trains. One that doesn't yet may do so at any later time.
        tensor.requires_grad_(True)
        handle: RemovableHandle = tensor.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        return handle
    finally:
        tensor.requires_grad_(trains)
