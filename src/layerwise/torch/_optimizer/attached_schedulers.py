"""Which ``ScheduleLR`` an optimizer is driven by, and how far it has come."""

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import ReferenceType, ref

import torch.distributed as dist
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from layerwise.torch._optimizer.inner_optimizer import hookable

_ATTRIBUTE = "_layerwise_schedules"
"""Where an optimizer keeps them; it goes into neither its state nor a copy of it."""


@dataclass
class Progress:
    """The step that a scheduler has come to."""

    step: int = 0


@dataclass(frozen=True)
class _Attached:
    scheduler: ReferenceType[LRScheduler]
    progress: Progress


def announce(scheduler: LRScheduler, optimizer: Optimizer, progress: Progress) -> None:
    """Tell an optimizer of the scheduler that drives it, which it does not keep alive."""
    optimizer = hookable(optimizer)
    others = [each for each in _attached(optimizer) if each.scheduler() is not None]
    vars(optimizer)[_ATTRIBUTE] = [*others, _Attached(ref(scheduler), progress)]


def schedulers_on(optimizer: Optimizer) -> list[LRScheduler]:
    """The living schedulers of an optimizer, in the order in which they came."""
    found = [each.scheduler() for each in _attached(hookable(optimizer))]
    return [each for each in found if each is not None]


def schedulers_with(given: object, optimizers: Iterable[Optimizer]) -> list[object]:
    """A scheduler that was given, or None, and those of the optimizers beside it, each once."""
    inner = without_wrapper(given)
    attached = [each for one in optimizers for each in schedulers_on(one) if each is not inner]
    return [given, *{id(each): each for each in attached}.values()]


def step_of(optimizer: Optimizer) -> int | None:
    """The step that the last scheduler of an optimizer came to; None if it never had one."""
    attached = _attached(hookable(optimizer))
    return attached[-1].progress.step if attached else None


def without_wrapper(scheduler: object) -> object:
    """The scheduler within a wrapper such as Accelerate's, or what was given."""
    while not isinstance(scheduler, Optimizer | LRScheduler) and hasattr(scheduler, "scheduler"):
        scheduler = scheduler.scheduler
    return scheduler


def steps_of_an_update(scheduler: object) -> int:
    """How many steps a scheduler goes with each update, which Accelerate may make many.

    Its wrapper goes one for each process, since each has a batch of its own, unless the batches
    are split among them.
    """
    many = getattr(scheduler, "split_batches", None) is False
    with_optimizer = getattr(scheduler, "step_with_optimizer", False)
    if many and with_optimizer and dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    return 1


def _attached(optimizer: Optimizer) -> list[_Attached]:
    found: list[_Attached] = vars(optimizer).get(_ATTRIBUTE, [])
    return found
