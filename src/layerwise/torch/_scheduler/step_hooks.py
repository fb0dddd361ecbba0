"""What an optimizer calls while it steps, and when a state is loaded.

Every PyTorch optimizer skips a parameter that has no gradient. So a frozen group is left out of a
step, with its weight decay and state, by withholding its gradients: they are taken from the
parameters before ``optimizer.step()``, NaN or not, and put back after it. PyTorch has hooks for
this; nothing is patched.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from weakref import finalize, ref

import torch
from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import OptimizerError
from layerwise.torch._groups.base_rate import names_of
from layerwise.torch._groups.stored_multiplier import KEY, with_function
from layerwise.torch._scheduler.group_schedules import listed

Owner = TypeVar("Owner")


class WithheldGradients:
    """The gradients of frozen parameters, where the optimizer can't see them."""

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, Tensor]] = []

    def take(self, groups: Sequence[dict[str, Any]]) -> None:
        """Take the gradients of these groups from their parameters."""
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
        """Drop them: they are from a step that has failed."""
        self._kept.clear()


def attach(
    optimizer: Optimizer,
    owner: Owner,
    frozen: Callable[[Owner], Sequence[dict[str, Any]]],
    after_load: Callable[[Owner], None],
) -> None:
    """Hook into an optimizer's step and the loading of its state, for as long as the owner lives.

    Args:
        optimizer: The optimizer.
        owner: What the functions below are called with. The optimizer does not keep it alive.
        frozen: Gives the groups that are frozen at the step that is about to be made.
        after_load: Called when a state has been loaded.
    """
    me, withheld = ref(owner), WithheldGradients()

    # A compiled step must not trace these: what they look at changes with every step.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before_step(
        optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        living = me()
        groups = [] if living is None else frozen(living)
        withheld.forget()
        withheld.take(groups)
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not groups or closure is None:
            return None

        def without_frozen() -> object:
            withheld.give_back()
            loss: object = closure()
            withheld.take(groups)
            return loss

        return (args[0], without_frozen), {k: v for k, v in kwargs.items() if k != "closure"}

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def after_step(optimizer: Optimizer, args: object, kwargs: object) -> None:
        withheld.give_back()

    def load(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return state if me() is None else state_for(optimizer, state)

    def loaded(optimizer: Optimizer) -> None:
        living = me()
        if living is not None:
            after_load(living)

    inner = hookable(optimizer)
    handles = [inner.register_step_pre_hook(before_step), inner.register_step_post_hook(after_step)]
    for each in {inner, optimizer}:
        if hasattr(each, "_optimizer_load_state_dict_pre_hooks"):  # Accelerate's wrapper has none
            handles.append(each.register_load_state_dict_pre_hook(load))
            handles.append(each.register_load_state_dict_post_hook(loaded))
    for handle in handles:
        finalize(owner, handle.remove).atexit = False


def hookable(optimizer: Optimizer) -> Optimizer:
    """The optimizer whose ``step`` makes the update: the innermost one with the same groups.

    Accelerate's wrapper, SAM and Lookahead each have another optimizer inside, and share its
    groups. SAM's ``second_step`` calls the ``step`` of that one, and not its own.
    """
    while (inner := inner_optimizer(optimizer)) is not None:
        optimizer = inner
    return optimizer


def inner_optimizer(optimizer: Optimizer) -> Optimizer | None:
    """The optimizer that another has as an attribute and shares its groups with.

    Raises:
        OptimizerError: It is SAM's, and has groups of its own, which nobody would write rates to.
    """
    groups = {id(group) for group in optimizer.param_groups}
    for value in vars(optimizer).values():
        if not isinstance(value, Optimizer):
            continue
        if any(id(group) in groups for group in value.param_groups):
            return value
        if hasattr(optimizer, "second_step"):
            raise OptimizerError(
                f"{type(optimizer).__name__} and the {type(value).__name__} within it have "
                "different groups, so that a rate of the one does not reach the other. Let them "
                "share: optimizer.param_groups = base_optimizer.param_groups."
            )
    return None


def state_for(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state that an optimizer should load.

    Groups saved without a name or multiplier get those of the present groups, and where only the
    name of a function was saved, the function of the present group stays.

    Raises:
        OptimizerError: It is the state of groups with other names.
    """
    groups, saved = optimizer.param_groups, state["param_groups"]
    if any("name" in group for group in saved):
        check_same_groups([group.get("name") for group in saved], names_of(optimizer))
    if len(saved) != len(groups):
        return state  # PyTorch's error is clear
    merged = [
        {key: mine[key] for key in ("name", KEY) if key in mine} | with_function(loaded, mine)
        for mine, loaded in zip(groups, saved, strict=True)
    ]
    return state | {"param_groups": merged}


def check_same_groups(saved: Sequence[object], present: Sequence[str]) -> None:
    """Raise unless the groups of a state are those of the optimizer.

    Raises:
        OptimizerError: They are others.
    """
    if list(saved) != list(present):
        raise OptimizerError(
            f"This is the state of other groups: of {listed(saved)}, and the optimizer has "
            f"{listed(present)}. Make the groups by the same rules, and add those that were added "
            "later, before loading."
        )
