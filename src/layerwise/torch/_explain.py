"""explain: the rate of every parameter, read before training."""

from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from layerwise.errors import OptimizerError, ScheduleError
from layerwise.multipliers import Plan, StepValue
from layerwise.torch._groups.no_decay import NoDecay
from layerwise.torch._groups.param_groups import plan_of_rules
from layerwise.torch._objects import ModelLevels, ModelRules, spec_of
from layerwise.torch._optimizer.attached_schedulers import without_wrapper
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet
from layerwise.torch._parameters import Named, named_tensors
from layerwise.torch._scheduler.plan import plan_of_groups
from layerwise.torch._scheduler.schedule_lr import ScheduleLR


def explain(
    model: Named,
    rules: ModelRules | None = None,
    *,
    learning_rate: float | Tensor | None = None,
    weight_decay: float | None = None,
    no_decay: NoDecay | Iterable[NoDecay] | None = None,
    optimizer: Optimizers | None = None,
    schedule: StepValue | ScheduleLR | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: ModelLevels | None = None,
    decay_rules: ModelRules | None = None,
    steps: Sequence[int] = (),
    step: int | None = None,
) -> Plan:
    r"""The rate of every parameter of a model, before any training.

    Either under rules, as ``param_groups`` would apply them, or as it is in the groups of an
    optimizer, made by Layerwise or by hand. With neither, it lists the model's parameters. The
    rate of a parameter $p$ at step $t$ is

    $$\eta_p(t) = \text{learning rate} \cdot \text{schedule}(t) \cdot \text{multiplier}_p(t)$$

    Args:
        model: A module, wrapped or not, or its named parameters.
        rules: Rules as for ``param_groups``.
        learning_rate: The base rate; without it the plan shows multipliers alone.
        weight_decay: As for ``param_groups``.
        no_decay: As for ``param_groups``.
        optimizer: Show its groups instead of rules, or those of several, as a list or a mapping by
            names of your own. One that makes its own rate (``lr=None``) has none to show, and the
            plan shows multipliers alone.
        schedule: A factor on the base rate for all parameters. A ``ScheduleLR`` brings its
            optimizer along, whose groups are shown at its present step.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies.
        decay_rules: Rules for weight decay, as for ``param_groups``.
        steps: The steps to show rates at, beside ``step``.
        step: The step that is now: updates already applied. By default the step of a
            ``ScheduleLR``, and else 0.

    Returns:
        A plan: ``print`` shows it as a table, ``.to_dict()`` gives plain columns.

    Raises:
        MultiplierError: A rule, value, rate or weight decay can't be used.
        OptimizerError: The model has no usable parameters, or both rules and an optimizer were
            given.
        ScheduleError: ``schedule`` is neither a schedule nor a callable of the step.

    Examples:
        >>> from torch import nn
        >>> from layerwise import layer_decay
        >>> from layerwise.torch import explain
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
        >>> explain(model, layer_decay(0.5), learning_rate=0.1).rates(0).tolist()
        [0.05, 0.05, 0.1, 0.1]
        >>> explain(model).to_dict()["parameter"]
        ['0.weight', '0.bias', '1.weight', '1.bias']

    Source: the plan is ``layerwise.multipliers.resolve``'s.
    """
    tensors = named_tensors(model)
    schedule = _checked_schedule(schedule)
    optimizers = _optimizers_of(optimizer, schedule)
    if optimizers is not None:
        given = (rules, learning_rate, weight_decay, no_decay, layers, decay_rules)
        if any(argument is not None for argument in given):
            raise OptimizerError(
                "An optimizer's groups have their rates already. Give explain() either the "
                "optimizer, or rules with learning_rate=, weight_decay=, no_decay=, decay_rules= "
                "and layers=."
            )
        optimizers.check_disjoint()
        return plan_of_groups(tensors, optimizers, schedule, steps=steps, step=step)
    assert not isinstance(schedule, ScheduleLR)
    return plan_of_rules(
        tensors,
        spec_of(
            model,
            tensors,
            rules,
            schedule=schedule,
            match=match,
            strict=strict,
            layers=layers,
            decay_rules=decay_rules,
        ),
        learning_rate,
        weight_decay,
        no_decay,
        model=model,
        steps=steps,
        step=step or 0,
    )


def _checked_schedule(schedule: StepValue | ScheduleLR | None) -> StepValue | ScheduleLR | None:
    """The schedule, or the ``ScheduleLR`` within a wrapper.

    Raises:
        ScheduleError: It is a scheduler of PyTorch.
    """
    inner = without_wrapper(schedule)
    if isinstance(inner, ScheduleLR):
        return inner
    if isinstance(inner, LRScheduler):
        raise ScheduleError(
            f"{type(inner).__name__} tells no rate before it gets there. Give explain() its "
            "optimizer= for the rates of now, or a schedule of Layerwise."
        )
    return schedule


def _optimizers_of(
    optimizer: Optimizers | None, schedule: StepValue | ScheduleLR | None
) -> OptimizerSet | None:
    """The optimizers whose groups are to be shown, or None.

    Raises:
        OptimizerError: The optimizer is not that of the ``ScheduleLR``.
    """
    optimizers = None if optimizer is None else OptimizerSet.of(optimizer)
    if not isinstance(schedule, ScheduleLR):
        return optimizers
    if optimizers is not None and not optimizers.is_same(schedule.optimizer_set):
        raise OptimizerError(
            "The optimizer has other groups than the ScheduleLR, whose rates it can't have. "
            "Give explain() the ScheduleLR alone: it brings its optimizers along."
        )
    return schedule.optimizer_set
