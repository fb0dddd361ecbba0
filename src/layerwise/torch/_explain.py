"""explain: who gets which rate, read before training."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from layerwise.errors import OptimizerError
from layerwise.multipliers import Layers, Plan, Rules
from layerwise.schedules import Schedule
from layerwise.torch._groups.no_decay import NoDecay
from layerwise.torch._groups.param_groups import plan_of
from layerwise.torch._parameters import Named, named_tensors
from layerwise.torch._scheduler.plan import plan_of_groups
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


def explain(
    model: Named,
    rules: Rules | None = None,
    *,
    learning_rate: float | Tensor | None = None,
    weight_decay: float | None = None,
    no_decay: NoDecay | Iterable[NoDecay] | None = None,
    optimizer: Optimizer | None = None,
    schedule: Schedule | Callable[[int], Any] | ScheduleLR | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
    steps: Sequence[int] = (),
) -> Plan:
    """The rate of every parameter of a model, before any training.

    Either under rules, as ``param_groups`` would apply them, or as the groups of an optimizer
    have it, made by Layerwise or by hand.

    Args:
        model: A module, wrapped or not, or its named parameters.
        rules: Rules as for ``param_groups``.
        learning_rate: The base rate; without it the plan shows multipliers alone.
        weight_decay: As for ``param_groups``.
        no_decay: As for ``param_groups``.
        optimizer: Show its groups instead of rules.
        schedule: A factor on the base rate for all parameters. A ``ScheduleLR`` brings its
            optimizer along, whose groups are shown at its present step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies.
        steps: The steps to show rates at, beside the present one.

    Returns:
        A plan: ``print`` shows it as a table, ``.to_dict()`` gives plain columns.

    Raises:
        MultiplierError: A rule that can't be honoured.
        OptimizerError: The model has no usable parameters, or both rules and an optimizer were
            given.

    Examples:
        >>> from torch import nn
        >>> from layerwise import layer_decay
        >>> from layerwise.torch import explain
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
        >>> explain(model, layer_decay(0.5), learning_rate=0.1).rates(0).tolist()
        [0.05, 0.05, 0.1, 0.1]
    """
    tensors = named_tensors(model)
    if optimizer is None and isinstance(schedule, ScheduleLR):
        optimizer = schedule.optimizer
    if optimizer is None:
        return plan_of(
            tensors,
            rules,
            lr=learning_rate,
            weight_decay=weight_decay,
            no_decay=no_decay,
            match=match,
            strict=strict,
            layers=layers,
            schedule=schedule,
            steps=steps,
        )
    given = (rules, learning_rate, weight_decay, no_decay, layers)
    if any(rule is not None for rule in given):
        raise OptimizerError(
            "An optimizer's groups have their rates already: give explain() either the optimizer, "
            "or rules with learning_rate=, weight_decay= and no_decay=."
        )
    return plan_of_groups(tensors, optimizer, schedule, steps)
