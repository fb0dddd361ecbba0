"""What an optimizer calls while it steps, and when its state is saved or loaded.

PyTorch has hooks for this; nothing is patched. An optimizer has one ``OptimizerHooks``, from the
moment at which a group of ``param_groups`` joins it or a ``ScheduleLR`` is made for it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import ref

import torch
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from layerwise.errors import OptimizerError
from layerwise.torch._groups.base_rate import group_names
from layerwise.torch._groups.stored_multiplier import KEYS, keep_multiplier
from layerwise.torch._optimizer.attached_schedulers import step_of
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._optimizer.loaded_state import state_for, with_every_parameter
from layerwise.torch._optimizer.other_schedulers import named, peers_on
from layerwise.torch._optimizer.withheld_gradients import WithheldGradients

_ATTRIBUTE = "_layerwise_hooks"


class Driver(Protocol):
    """What writes the rates of a ``ScheduleLR`` into its optimizer's groups."""

    @property
    def is_aside(self) -> bool:
        """Whether ``SequentialLR`` has put the scheduler aside, for another one."""

    def frozen_groups(self, check: bool) -> Sequence[dict[str, Any]]:
        """The groups that are frozen at the step that is about to be made."""

    def settle(self) -> None:
        """Take over what others have done to the rates."""

    def after_load(self, drives: bool) -> None:
        """The optimizer has loaded a state."""

    def let_go(self) -> None:
        """Another one drives from now on."""


class OptimizerHooks:
    """All that is hooked into one optimizer, which keeps this object.

    Attributes:
        told: The pairs of schedulers that a warning has named.
        within: The hooks of the optimizer that is wrapped in this one, and makes its updates.
        hands_off: Whether someone else sets the rates for now, as ``find_lr`` does.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.told: set[frozenset[str]] = set()
        self.hands_off = False
        self.within: OptimizerHooks | None = None
        self._optimizer = ref(optimizer)
        self._drivers: list[ref[Driver]] = []  # the last one wrote last
        self._turns: list[ref[Driver]] = []
        self._withheld = WithheldGradients()
        self._on_steps: list[RemovableHandle] = []
        optimizer.register_load_state_dict_pre_hook(state_for)
        optimizer.register_load_state_dict_post_hook(self._loaded)
        optimizer.register_state_dict_pre_hook(self._before_saving)
        optimizer.register_state_dict_post_hook(with_every_parameter)

    def watch_steps(self) -> None:
        """Hook into the optimizer's steps."""
        optimizer = self._optimizer()
        if optimizer is None or self._on_steps:
            return

        # A compiled step must not trace these: what they look at changes with every step.
        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def before(
            optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            return self._before_step(optimizer, args, kwargs)

        @torch.compiler.disable  # type: ignore[untyped-decorator]
        def after(optimizer: Optimizer, args: object, kwargs: object) -> None:
            self._withheld.give_back()

        self._on_steps = [
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
        ]

    # -- who drives ---------------------------------------------------------------------------

    def attach(self, driver: Driver) -> None:
        """Let a driver drive, for as long as it lives: the optimizer does not keep it alive."""
        before = self.driver()
        if before is not None:
            before.let_go()
        self._drivers.append(ref(driver, self._remove_step_hooks))
        self.watch_steps()

    def driver(self) -> Driver | None:
        """The driver that wrote last, of those that are still there."""
        while self._drivers:
            found = self._drivers[-1]()
            if found is not None:
                return found
            self._drivers.pop()
        if self.within is None:
            optimizer = self._optimizer()
            inner = None if optimizer is None else hookable(optimizer)
            if inner is not None and inner is not optimizer:
                self.within = _hooks_on(inner)
        return None if self.within is None else self.within.driver()

    def wrote(self, driver: Driver, stepped: bool) -> Driver | None:
        """Note that a driver has written its rates.

        Returns:
            The driver whose rates were there, if the two take turns, so that each undoes the other.
        """
        before = self.driver()
        if before is driver:
            return None
        if before is not None:
            before.let_go()
        mine = next((each for each in self._drivers if each() is driver), None)
        if mine is not None:
            self._drivers.remove(mine)
            self._drivers.append(mine)
        if not stepped:
            return None
        if any(each() is driver for each in self._turns):
            return before
        self._turns.append(ref(driver))
        return None

    def settle(self) -> None:
        """Take over what others have done to the rates."""
        driver = self.driver()
        if driver is not None and not self.hands_off:
            driver.settle()

    def _remove_step_hooks(self, _: object) -> None:
        optimizer = self._optimizer()
        if self.driver() is None and optimizer is not None and not _moving(optimizer):
            for handle in self._on_steps:
                handle.remove()
            self._on_steps = []

    # -- what the optimizer calls -------------------------------------------------------------

    def _before_step(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        withheld = self._withheld
        withheld.forget()
        groups = self._frozen_groups(optimizer)
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

    def _frozen_groups(self, optimizer: Optimizer) -> Sequence[dict[str, Any]]:
        driver = self.driver()
        if driver is not None and not driver.is_aside:
            if not self._drivers:
                return ()  # the optimizer within makes the update
            frozen = driver.frozen_groups(check=not self.hands_off)
            return () if frozen and _is_initialization(optimizer) else frozen
        moving = () if self.hands_off else _moving(optimizer)
        if moving and not _is_initialization(optimizer):
            raise _not_driven(optimizer, moving, driver)
        return ()

    def _loaded(self, optimizer: Optimizer) -> None:
        for name, group in zip(
            group_names(optimizer.param_groups), optimizer.param_groups, strict=True
        ):
            keep_multiplier(group, name, watch_copy)
        hooks = self.within or self
        driver = hooks.driver()
        for each in hooks._drivers:
            if (found := each()) is not None:
                found.after_load(drives=found is driver)

    def _before_saving(self, optimizer: Optimizer) -> None:
        self.settle()


def hooks_of(optimizer: Optimizer) -> OptimizerHooks:
    """The hooks of an optimizer, made if there are none.

    Of one that is wrapped, the inner one's, since that makes the updates. A wrapper that loads
    states of its own, as SAM does, has hooks for that as well.
    """
    inner = hookable(optimizer)
    found = _hooks_on(inner)
    if inner is not optimizer and "_optimizer_load_state_dict_pre_hooks" in vars(optimizer):
        _hooks_on(optimizer).within = found
    return found


def _hooks_on(optimizer: Optimizer) -> OptimizerHooks:
    found = _hooks_in(optimizer)
    if found is None:
        found = OptimizerHooks(optimizer)
        setattr(optimizer, _ATTRIBUTE, found)
    return found


def _hooks_in(optimizer: Optimizer) -> OptimizerHooks | None:
    found = vars(optimizer).get(_ATTRIBUTE)
    return found if isinstance(found, OptimizerHooks) else None


def watch_loads(optimizer: Optimizer) -> None:
    """Hook into an optimizer that a group of ``param_groups`` joins."""
    if "param_groups" in vars(optimizer):
        _hooks_on(optimizer)


def watch_steps(optimizer: Optimizer) -> None:
    """Hook into an optimizer that a group joins whose multiplier moves."""
    if "param_groups" in vars(optimizer):
        _hooks_on(optimizer).watch_steps()


def watch_copy(optimizer: Optimizer) -> None:
    """Hook into an optimizer that is being made as a copy, and is still empty."""
    if isinstance(getattr(type(optimizer), "param_groups", None), property):
        return  # a wrapper, whose inner optimizer is copied as well
    # It has no dictionaries of hooks yet. PyTorch makes those that are not there.
    Optimizer.__setstate__(optimizer, {"defaults": {}})
    _hooks_on(optimizer).watch_steps()


@contextmanager
def hands_off(optimizer: Optimizer) -> Iterator[None]:
    """While this is open, the caller sets the rates, and no multiplier is missed."""
    found = [_hooks_in(each) for each in {optimizer, hookable(optimizer)}]
    hooks = [each for each in found if each is not None and not each.hands_off]
    for each in hooks:
        each.hands_off = True
    try:
        yield
    finally:
        for each in hooks:
            each.hands_off = False


def _moving(optimizer: Optimizer) -> list[str]:
    """The names of the groups with a multiplier that moves, of the rate or of the weight decay."""
    groups = optimizer.param_groups
    named_groups = zip(group_names(groups), groups, strict=True)
    return [name for name, group in named_groups if any(key in group for key in KEYS)]


def _is_initialization(optimizer: Optimizer) -> bool:
    """Whether a step only makes the optimizer's state, as a distributed checkpoint needs it.

    ``torch.distributed.checkpoint.state_dict`` of PyTorch 2.13 makes it by a step with all rates
    and gradients 0, if there is none yet.
    """
    return (
        not optimizer.state
        and all(not group.get("lr", 0.0) for group in optimizer.param_groups)
        and not any(
            bool(tensor.grad.any())
            for group in optimizer.param_groups
            for tensor in group["params"]
            if tensor.grad is not None and not tensor.grad.is_sparse
        )
    )


def _not_driven(
    optimizer: Optimizer, moving: Sequence[str], driver: Driver | None
) -> OptimizerError:
    """The error for a multiplier that nothing applies."""
    why = "there is no ScheduleLR to apply it"
    if driver is not None:
        why = "SequentialLR has put the ScheduleLR that applies it aside"
    elif (step := step_of(optimizer)) is not None:
        why = f"the ScheduleLR that applied it is gone since step {step}; keep it in a variable"
    others = named(peers_on(optimizer))
    them = f" {others} can't: it knows no multipliers." if others else ""
    return OptimizerError(
        f"A multiplier of the group {moving[0]!r} moves with the step, and {why}.{them} Make "
        "scheduler = ScheduleLR(optimizer, schedule) and call scheduler.step() after each update. "
        "The schedule may be any callable of the step, as for LambdaLR, or None."
    )
