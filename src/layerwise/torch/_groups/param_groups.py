"""param_groups: a model's parameters in groups, one for each different setting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise._checks import number
from layerwise.errors import MultiplierError, OptimizerError, UnmatchedRuleError
from layerwise.multipliers import (
    Plan,
    PlanRow,
    RuleSpec,
    StepValue,
    distinct,
    group_labels,
    moves,
    value_at,
    value_text,
)
from layerwise.schedules import Schedule, counts_of_start
from layerwise.torch._depth.layers_of import layers_in
from layerwise.torch._groups.base_rate import BASE, BASE_DECAY, FACTOR
from layerwise.torch._groups.chosen_parameters import Only, chosen
from layerwise.torch._groups.frozen_beside import write_frozen
from layerwise.torch._groups.group_parameters import NAMES, STATELESS, GroupParameters, joined
from layerwise.torch._groups.model_facts import facts_of
from layerwise.torch._groups.no_decay import NoDecay, undecayed
from layerwise.torch._groups.stored_multiplier import DECAY_KEY, KEYS, write_multiplier
from layerwise.torch._objects import ModelLevels, ModelRules, spec_of
from layerwise.torch._optimizer.optimizer_hooks import watch_copy, watch_loads, watch_steps
from layerwise.torch._parameters import SEPARATOR, Named, NamedTensor, named_tensors


class ParamGroups(list[dict[str, Any]]):
    """Parameter groups for an optimizer, with the plan that they were made by.

    Attributes:
        plan: Every parameter's rule, multiplier, rate and weight decay, those of frozen parameters
            included, which are in no group. ``print(groups.plan)`` shows it.

    Examples:
        >>> from torch import nn
        >>> from layerwise.torch import param_groups
        >>> groups = param_groups(nn.Linear(2, 1), {"bias": 0.5}, lr=0.1)
        >>> [group["name"] for group in groups], groups.plan.rates(0).tolist()
        (['default', 'bias'], [0.1, 0.05])
    """

    plan: Plan

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # A group keeps no ``GroupParameters`` once it has joined an optimizer, and may join others.
        optimizer = joined()
        if optimizer is not None:
            moves = any(key in group for group in super().__iter__() for key in KEYS)
            (watch_steps if moves else watch_loads)(optimizer)
            if self.plan.has_decay_rules:
                _check_decays(optimizer)
        return super().__iter__()


def param_groups(
    model: Named,
    rules: ModelRules | None = None,
    *,
    lr: float | Tensor,
    weight_decay: float | None = None,
    no_decay: NoDecay | Iterable[NoDecay] | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: ModelLevels | None = None,
    decay_rules: ModelRules | None = None,
    only: Only | None = None,
) -> ParamGroups:
    r"""Make parameter groups for any PyTorch optimizer, as few as there are different settings.

    A parameter $p$ is in a group with the rate

    $$\eta_p = lr \cdot \text{multiplier}(p)$$

    Parameters that are frozen (``requires_grad=False``, or a multiplier that is the number 0) are
    in no group, so no optimizer touches them. Under a ``ScheduleLR`` they have no gradient either,
    which ``clip_grad_norm_`` would count. A multiplier that moves (a schedule or a callable of
    the step) is kept in its group for ``ScheduleLR``. While it is 0, the group's weights and
    optimizer state stay as they are, bit for bit.

    Args:
        model: A module, which may be wrapped by ``DistributedDataParallel``, ``torch.compile`` or
            ``fully_shard``, or its named parameters.
        rules: Rules by parameter name (``backbone.0.weight``; ``module.``, ``_orig_mod.``
            and ``_fsdp_wrapped_module.`` may be left out): a mapping of keys to numbers, schedules
            or callables of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of
            these. Without a matching rule the multiplier is 1. A module or parameter of the model
            may itself be a key: ``{model.head: 2.0}``.
        lr: The base rate: finite, at least 0. If it is a tensor, each group gets one of its own.
        weight_decay: The weight decay of all parameters but those in ``no_decay``: finite, at
            least 0. None leaves it to the optimizer.
        no_decay: What takes no weight decay: a key in the same match mode, a function of name and
            parameter such as ``biases_and_norms``, or several of these.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies, each a name, a beginning of names,
            a module, or several; by default ``layers_of(model)``.
        decay_rules: Rules for weight decay, by name as ``rules``: a multiplier for
            ``weight_decay``, which must be given. 0 means none, and what ``no_decay`` names has
            none in any case. A multiplier that moves is applied by ``ScheduleLR``.
        only: The parameters that this optimizer trains, where others train the rest: their names,
            such as ``hidden_matrices(model)``, or a function of name and parameter. Rules, depth
            and ``no_decay`` are still those of the whole model.

    Returns:
        A list of groups, each with a ``name``. Its attribute ``plan`` has every parameter.

    Raises:
        MultiplierError: A rule, value, match mode, rate or weight decay can't be used.
        OptimizerError: There are no usable parameters, or all of them are frozen.

    Examples:
        >>> import torch
        >>> from layerwise.torch import biases_and_norms, param_groups
        >>> model = torch.nn.Sequential()
        >>> model.add_module("backbone", torch.nn.Linear(4, 3))
        >>> model.add_module("head", torch.nn.Linear(3, 1))
        >>> groups = param_groups(
        ...     model, {"backbone": 0.1}, lr=1e-3, weight_decay=0.01, no_decay=biases_and_norms
        ... )
        >>> for group in groups:
        ...     print(group["name"], group["lr"], group["weight_decay"])
        backbone 0.0001 0.01
        backbone, no decay 0.0001 0.0
        default 0.001 0.01
        default, no decay 0.001 0.0
        >>> optimizer = torch.optim.AdamW(groups)

    Source: the groups are those of ``torch.optim``; leaving biases and norms undecayed is usual
    since BERT (Devlin et al., 2018).
    """
    _check_has_rate(lr)
    tensors = named_tensors(model)
    _check_has_decay(weight_decay, decay_rules)
    spec = spec_of(
        model,
        tensors,
        rules,
        match=match,
        strict=strict,
        layers=layers,
        decay_rules=decay_rules,
    )
    plan = plan_of_rules(tensors, spec, lr, weight_decay, no_decay, model=model)
    if only is not None:
        wanted = chosen(tensors, only)
        tensors = [tensors[place] for place in wanted]
        plan = replace(plan, rows=tuple(plan.rows[place] for place in wanted))
    members = _members(plan)
    if not members:
        raise OptimizerError(
            f"All {len(tensors)} parameters are frozen, so that there is nothing to optimize. "
            "Leave out a multiplier of 0, or set requires_grad."
        )
    first = plan.multipliers(0)
    groups = ParamGroups()
    groups.plan = plan
    for name, (_, places) in zip(_names(plan, members), members, strict=True):
        row, factor = plan.rows[places[0]], float(first[places[0]])
        own = [tensors[place] for place in places]
        groups.append(_group(name, row, own, lr, factor, has_decay_rules=plan.has_decay_rules))
    rows = zip(tensors, plan.rows, strict=True)
    write_frozen(groups, [t.tensor for t, row in rows if row.frozen and t.tensor.requires_grad])
    return groups


def _check_has_rate(lr: object) -> None:
    if lr is None:
        raise MultiplierError(
            "lr must be a finite number of at least 0, got None. If it is the suggestion of a "
            "finding, print(finding.reason) says why there is none, and finding.rate_or(1e-3) "
            "puts a rate of yours in its place."
        )


def _check_has_decay(weight_decay: object, decay_rules: object) -> None:
    if decay_rules is not None and weight_decay is None:
        raise MultiplierError(
            "There are decay_rules=, and no weight decay for them to multiply. Give one: "
            "param_groups(..., weight_decay=0.01)."
        )


def _group(
    name: str,
    row: PlanRow,
    members: Sequence[NamedTensor],
    lr: float | Tensor,
    factor: float,
    *,
    has_decay_rules: bool,
) -> dict[str, Any]:
    """One group.

    Args:
        name: Its name.
        row: The row of the plan of any parameter in it.
        members: Its parameters.
        lr: The base rate.
        factor: The multiplier at step 0.
        has_decay_rules: Whether the plan has rules for weight decay.
    """
    rate_moves, decay = moves(row.value), _decay(row)
    watch = watch_steps if rate_moves or decay.moves is not None else watch_loads
    group: dict[str, Any] = {
        "params": GroupParameters(
            (each.tensor for each in members),
            partial(_join_decayed, watch=watch) if has_decay_rules else watch,
        ),
        NAMES: [each.short for each in members],
    }
    group |= {"name": name, "lr": _scaled(lr, factor), BASE: float(lr)}
    group[FACTOR] = 1.0 if rate_moves else factor
    if decay.base is not None:
        group["weight_decay"] = decay.base
    if decay.base is not None and decay.moves is not None:
        start = counts_of_start([decay.moves])
        now = value_at(decay.moves, 0, f"The decay multiplier of {name!r}", counts=start)
        group |= {"weight_decay": decay.base * now, BASE_DECAY: decay.base}
        write_multiplier(decay.moves, group, watch_copy, DECAY_KEY)
    if rate_moves:
        group |= {"initial_lr": float(lr), STATELESS: ""}
        write_multiplier(row.value, group, watch_copy)
    return group


def plan_of_rules(
    tensors: Sequence[NamedTensor],
    spec: RuleSpec,
    lr: float | Tensor | None = None,
    weight_decay: float | None = None,
    no_decay: NoDecay | Iterable[NoDecay] | None = None,
    *,
    model: Named,
    steps: Sequence[int] = (),
    step: int = 0,
) -> Plan:
    """The plan that groups are made by, and that ``explain`` shows.

    Args:
        tensors: The parameters.
        spec: The rules.
        lr: The base rate.
        weight_decay: The weight decay of all parameters but those in ``no_decay``.
        no_decay: What takes no weight decay.
        model: What the parameters are from. Only a module is read.
        steps: The steps to show rates at, beside ``step``.
        step: The step that is now.

    Raises:
        MultiplierError: A rule, rate or weight decay can't be used.
    """
    if callable(weight_decay):
        raise MultiplierError(
            f"weight_decay={weight_decay!r} moves, and groups have numbers. Give weight_decay a "
            "number here, and the factor on it to ScheduleLR(..., weight_decay_factor=...)."
        )
    decay = None
    if weight_decay is not None:
        decay = number(weight_decay, "weight_decay", MultiplierError)
    try:
        spared = undecayed(tensors, no_decay, spec.match, spec.strict)
        return spec.resolve(
            [
                named.parameter(0.0 if without else decay)
                for named, without in zip(tensors, spared, strict=True)
            ],
            separator=SEPARATOR,
            order=lambda: layers_in(tensors, model),
            learning_rate=lr,  # type: ignore[arg-type]  # a 0-d tensor is a number there
            steps=steps,
            step=step,
            model=facts_of(tensors, model),
        )
    except UnmatchedRuleError as error:
        if isinstance(model, nn.Module):
            raise
        raise UnmatchedRuleError(f"{error}\n{_ONE_NAME_EACH}") from None


_ONE_NAME_EACH = (
    "named_parameters() gives a tied weight under its first name alone: pass the model, or "
    "model.named_parameters(remove_duplicate=False), so that rules may use the other names too."
)


class _Decay(NamedTuple):
    """A weight decay, and the multiplier of it that moves, if one does."""

    base: float | None
    moves: StepValue | None = None


def _decay(row: PlanRow) -> _Decay:
    """The weight decay of a parameter, times its multiplier if that is a number."""
    base = row.parameter.weight_decay
    if not base:
        return _Decay(base)
    if isinstance(row.decay, float | int):
        return _Decay(base * row.decay)
    return _Decay(base, row.decay)


def _join_decayed(optimizer: Optimizer, watch: Callable[[Optimizer], object]) -> None:
    """Watch an optimizer that a group joins whose weight decay a rule decides."""
    _check_decays(optimizer)
    watch(optimizer)


def _check_decays(optimizer: Optimizer) -> None:
    """Raise if an optimizer would take no notice of its groups' weight decay."""
    own = type(optimizer).__module__.startswith("torch.optim")  # others may wrap one that decays
    if own and "weight_decay" not in optimizer.defaults:
        raise OptimizerError(
            f"{type(optimizer).__name__} has no weight decay, so that decay_rules= would do "
            "nothing. Leave them out, or use an optimizer that decays."
        )


class _Members(NamedTuple):
    """The members of a group: the place of its value in ``plan.groups``, and its rows' places."""

    value: int
    places: list[int]


def _members(plan: Plan) -> list[_Members]:
    """The members of each group, in the order in which the model first has one of them."""
    found: dict[object, _Members] = {}
    for value, (_, places) in enumerate(plan.groups):
        for place in places:
            row = plan.rows[place]
            if not row.frozen:
                base, moving = _decay(row)
                key = (value, base, moving if isinstance(moving, Schedule) else id(moving))
                found.setdefault(key, _Members(value, [])).places.append(place)
    return sorted(found.values(), key=lambda group: group.places)


def _names(plan: Plan, groups: Sequence[_Members]) -> list[str]:
    """A readable name for each group, such as ``backbone`` and ``default, no decay``."""
    rows: dict[int, list[int]] = {}
    for value, places in groups:
        rows[value] = sorted([*rows.get(value, ()), *places])
    shown = [row.parameter.short or row.parameter.name for row in plan.rows]
    labels = dict(zip(rows, group_labels(plan, list(rows.values()), shown), strict=True))
    values = [value for value, _ in groups]
    names = []
    for value, places in groups:
        split = values.count(value) > 1
        names.append(labels[value] + (_decay_label(plan.rows[places[0]]) if split else ""))
    return distinct(names)


def _decay_label(row: PlanRow) -> str:
    """What tells a group apart from another that only decays in another way."""
    base, moving = _decay(row)
    if base == 0:
        return ", no decay"
    if moving is not None:
        return f", weight decay {base:g} * {value_text(moving)}"
    return "" if base is None or row.decay == 1 else f", weight decay {base:g}"


def _scaled(lr: float | Tensor, multiplier: float) -> float | Tensor:
    return lr.detach() * multiplier if isinstance(lr, Tensor) else float(lr) * multiplier
