"""By what each group's rate is the searched base rate multiplied, over several optimizers."""

from collections.abc import Iterable

from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.multipliers import distinct
from layerwise.torch._groups.base_rate import base_of_optimizer, group_factors
from layerwise.torch._optimizer.attached_schedulers import step_of
from layerwise.torch._optimizer.optimizer_set import OptimizerSet


def searched_factors(
    optimizers: OptimizerSet, hold: Optimizer | Iterable[Optimizer] = (), step: int = 0
) -> dict[str, float | None]:
    """The factor of each group on the base rate of the first optimizer that is searched.

    Args:
        optimizers: The optimizers.
        hold: Those whose rates are held, so that their groups have None.
        step: The step, if no ``ScheduleLR`` knows it.

    Raises:
        FinderError: ``hold`` has something else than these optimizers, or all of them; or there
            are no rates to set.
    """
    held = [hold] if isinstance(hold, Optimizer) else list(hold)
    for one in held:
        if not any(one is each for each in optimizers.optimizers):
            raise FinderError(
                f"hold= has a {type(one).__name__} that is not among the optimizers of the search. "
                "It must be one of several: find_lr(model, [first, second], hold=[second])."
            )
    if len(held) == len(optimizers):
        raise FinderError("hold= must leave an optimizer whose rate is searched, got all of them.")
    found: list[float | None] = []
    base: float | None = None
    for each in optimizers.optimizers:
        if any(each is one for one in held):
            found += [None] * len(each.param_groups)
            continue
        known = step_of(each)
        found += group_factors(each, step if known is None else known, base).values()
        if base is None:
            base = base_of_optimizer(each)
    return dict(zip(distinct(optimizers.names()), found, strict=True))
