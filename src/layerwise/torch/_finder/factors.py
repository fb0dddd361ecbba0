"""The factor of each group's rate on the searched base rate, over several optimizers."""

from collections.abc import Iterable

from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.multipliers import distinct
from layerwise.torch._groups.base_rate import base_of_optimizer, group_factors, names_of
from layerwise.torch._groups.stored_multiplier import read_multiplier
from layerwise.torch._optimizer.attached_schedulers import (
    schedulers_on,
    step_of,
    without_wrapper,
)
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._scheduler.counts import Counts
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


def searched_factors(
    optimizers: OptimizerSet,
    hold: Optimizer | Iterable[Optimizer] = (),
    scheduler: object = None,
) -> dict[str, float | None]:
    """The factor of each group on the base rate of the first optimizer that isn't held.

    Args:
        optimizers: The optimizers.
        hold: Those whose rates are held, so that their groups have None.
        scheduler: The scheduler that the search was given, which may be in a wrapper, or None.

    Raises:
        FinderError: ``hold`` has something other than these optimizers, or all of them; or there
            are no rates to set.
    """
    held = [hold] if isinstance(hold, Optimizer) else list(hold)
    for one in held:
        if not any(one is each for each in optimizers.optimizers):
            raise FinderError(
                f"hold= has a {type(one).__name__} that is not among the optimizers of the search. "
                "It must be one of several: find_lr(model, [first, second], hold=[second])."
            )
    if len({id(one) for one in held}) == len(optimizers):
        raise FinderError("hold= must leave an optimizer whose rate is searched, got all of them.")
    found: list[float | None] = []
    base: float | None = None
    for each in optimizers.optimizers:
        if any(each is one for one in held):
            found += [None] * len(each.param_groups)
            continue
        found += factors_now(each, scheduler, base).values()
        if base is None:
            base = base_of_optimizer(each)
    return dict(zip(distinct(optimizers.names()), found, strict=True))


def factors_now(
    optimizer: Optimizer, scheduler: object = None, base: float | None = None
) -> dict[str, float]:
    """The factor of each group at the step that its scheduler is at; see ``group_factors``.

    A ``ScheduleLR`` on the optimizer also knows what has been counted beside updates, and what
    metrics have decided.

    Args:
        optimizer: The optimizer.
        scheduler: What knows the step if no ``ScheduleLR`` does; it may be in a wrapper, or None.
        base: The base rate, if it is that of another optimizer.

    Raises:
        FinderError: There are no rates to set.
        ScheduleError: A multiplier counts what nobody has counted.
    """
    known = step_of(optimizer)
    now = int(getattr(without_wrapper(scheduler), "last_epoch", 0)) if known is None else known
    driving = [each for each in schedulers_on(optimizer) if isinstance(each, ScheduleLR)][-1:]
    counts = Counts(driving[0].counts if driving else None)
    pairs = zip(optimizer.param_groups, names_of(optimizer), strict=True)
    counts.need("", [read_multiplier(*pair) for pair in pairs])
    if not driving:
        return group_factors(optimizer, now, base, counts=counts.at(now))
    apply = driving[0].decisions.applied_to
    return group_factors(optimizer, now, base, counts=counts.at(now), apply=apply)
