"""What an optimizer calls while it steps and when its state has been loaded.

Every PyTorch optimizer skips a parameter that has no gradient. So what is frozen at a step is
left out of it, with its weight decay and state: the gradients of a frozen group are put aside
while ``optimizer.step()`` runs, NaN or not, and put back after it. PyTorch offers hooks for this;
nothing is patched.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import finalize, ref

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.torch._scheduler.loading import state_for


class WithheldGradients:
    """Gradients of frozen parameters, out of the optimizer's sight."""

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Tensor]] = []

    def take(self, groups: Sequence[dict[str, Any]]) -> None:
        """Put the gradients of these groups aside."""
        for group in groups:
            for tensor in group["params"]:
                if tensor.grad is not None:
                    self._kept.append((tensor, tensor.grad))
                    tensor.grad = None

    def give_back(self) -> None:
        """Put them back in their places."""
        for tensor, gradient in self._kept:
            tensor.grad = gradient
        self.forget()

    def forget(self) -> None:
        """Let them go: of a step that has failed."""
        self._kept.clear()


def attach(
    optimizer: Optimizer,
    owner: Any,
    frozen: Callable[[Any], Sequence[dict[str, Any]]],
    after_load: Callable[[Any], None],
) -> None:
    """Hook an optimizer's step and the loading of its state, for as long as the owner lives.

    Args:
        optimizer: The optimizer.
        owner: What the functions below are called with. The optimizer does not keep it alive.
        frozen: Gives the groups that are frozen at the step that is about to be made.
        after_load: Called when a state has been loaded.
    """
    me, aside = ref(owner), WithheldGradients()

    # A compiled step must not trace these: what they look at changes with every step.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        living = me()
        groups = [] if living is None else frozen(living)
        aside.forget()
        aside.take(groups)
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not groups or closure is None:
            return None

        def without_frozen() -> Any:
            aside.give_back()
            loss = closure()
            aside.take(groups)
            return loss

        return (args[0], without_frozen), {k: v for k, v in kwargs.items() if k != "closure"}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        aside.give_back()

    def load(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return state if me() is None else state_for(optimizer, state)

    def loaded(optimizer: Optimizer) -> None:
        living = me()
        if living is not None:
            after_load(living)

    inner = hookable(optimizer)
    for handle in (
        inner.register_step_pre_hook(before_step),
        inner.register_step_post_hook(after_step),
        inner.register_load_state_dict_pre_hook(load),
        inner.register_load_state_dict_post_hook(loaded),
    ):
        finalize(owner, handle.remove).atexit = False


def hookable(optimizer: Optimizer) -> Optimizer:
    """The optimizer whose step runs: the one within a wrapper such as Accelerate's."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def fresh_workers(loader: Iterable[Any]) -> Iterable[Any]:
    """The same loader with workers of its own, where they outlive an epoch.

    Workers that persist keep random states of their own between epochs, which nobody can put
    back. ``DataLoader`` has them in ``_iterator`` (PyTorch 1.7 to 2.13).
    """
    if not getattr(loader, "persistent_workers", False):
        return loader
    other = copy.copy(loader)
    vars(other)["_iterator"] = None
    return other
