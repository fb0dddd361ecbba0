"""param_groups: a model's parameters in groups, one for each different setting."""

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from torch import Tensor

from layerwise.errors import MultiplierError, OptimizerError
from layerwise.multipliers import Layers, Plan, Rules, Strategy, resolve
from layerwise.torch._groups import stored_multiplier
from layerwise.torch._groups.base_rate import KEY as BASE
from layerwise.torch._groups.group_names import group_names
from layerwise.torch._groups.no_decay import NoDecay, undecayed
from layerwise.torch._parameters import SEPARATOR, Named, NamedTensor, layers_of, named_tensors


class ParamGroups(list[dict[str, Any]]):
    """Parameter groups for an optimizer, with the plan that they were made by.

    Attributes:
        plan: Every parameter's rule, multiplier, rate and weight decay, the frozen ones that are
            in no group included; ``print(groups.plan)`` shows it.

    Examples:
        >>> from torch import nn
        >>> from layerwise.torch import param_groups
        >>> groups = param_groups(nn.Linear(2, 1), {"bias": 0.5}, lr=0.1)
        >>> [group["name"] for group in groups], groups.plan.rates(0).tolist()
        (['default', 'bias'], [0.1, 0.05])
    """

    plan: Plan


def param_groups(
    model: Named,
    rules: Rules | None = None,
    *,
    lr: float | Tensor,
    weight_decay: float | None = None,
    no_decay: NoDecay | Iterable[NoDecay] | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
) -> ParamGroups:
    """Parameter groups for any PyTorch optimizer, as few as there are different settings.

    A parameter's group has the rate ``lr * multiplier``. Parameters that are frozen
    (``requires_grad=False``, or a multiplier that is the number 0) are in no group, and so no
    optimizer touches them. A multiplier that moves (a schedule or a callable of the step) is kept
    in its group for ``ScheduleLR``; while it is 0, weights and optimizer state of the group
    stay as they are, bit for bit.

    Args:
        model: A module, also one wrapped by ``DistributedDataParallel``, ``torch.compile`` or
            ``fully_shard``, or its named parameters.
        rules: Rules by parameter name (``backbone.0.weight``; ``module.``, ``_orig_mod.``
            and ``_fsdp_wrapped_module.`` may be left out): a mapping from key to number, schedule
            or callable of the step, a strategy such as ``layer_decay(0.75)``, or a sequence of
            these. Without a matching rule the multiplier is 1.
        lr: The base rate: finite, at least 0. Of a tensor each group gets one of its own.
        weight_decay: For all but what ``no_decay`` names; None leaves it to the optimizer.
        no_decay: What takes no weight decay: a key in the same match mode, or a function of name
            and parameter such as ``biases_and_norms``, or several of these.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies, each a name, a beginning of names,
            or several; by default ``layers_of``.

    Returns:
        A list of groups with a ``name`` each, and the plan as its attribute ``plan``.

    Raises:
        MultiplierError: A rule, value, match mode, rate or weight decay that can't be honoured.
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
    """
    tensors = named_tensors(model)
    plan = plan_of(
        tensors,
        rules,
        lr=lr,
        weight_decay=weight_decay,
        no_decay=no_decay,
        match=match,
        strict=strict,
        layers=layers,
    )
    first = plan.multipliers(0)  # also tries every callable once
    members = _members(plan)
    if not members:
        raise OptimizerError(
            f"All {len(tensors)} parameters are frozen, so that there is nothing to optimize: "
            "leave out a multiplier of 0, or set requires_grad."
        )
    names = group_names(plan, members)
    groups = ParamGroups()
    groups.plan = plan
    for name, (_, places) in zip(names, members, strict=True):
        row = plan.rows[places[0]]
        group: dict[str, Any] = {"params": [tensors[place].tensor for place in places]}
        group |= {"name": name, "lr": _scaled(lr, float(first[places[0]])), BASE: float(lr)}
        if row.parameter.weight_decay is not None:
            group["weight_decay"] = row.parameter.weight_decay
        if not isinstance(row.value, float | int):
            group["initial_lr"] = float(lr)
            stored_multiplier.put(row.value, group)
        groups.append(group)
    return groups


def plan_of(
    tensors: Sequence[NamedTensor],
    rules: Rules | None,
    *,
    lr: float | Tensor | None,
    weight_decay: float | None,
    no_decay: NoDecay | Iterable[NoDecay] | None,
    match: str,
    strict: bool,
    layers: Layers | None,
    schedule: Any = None,
    steps: Sequence[int] = (),
) -> Plan:
    """The plan that groups are made by, and that ``explain`` shows."""
    if weight_decay is not None and not _is_decay(weight_decay):
        raise MultiplierError(
            f"weight_decay={weight_decay!r} has to be a finite number of at least 0; one that "
            "moves belongs to ScheduleLR(..., weight_decay_factor=...)."
        )
    spared = undecayed(tensors, no_decay, match, strict)
    decay = None if weight_decay is None else float(weight_decay)
    decays = [0.0 if without else decay for without in spared]
    if layers is None and any(strategy.layers is None for strategy in _strategies(rules)):
        layers = layers_of({named.name: named.tensor for named in tensors})
    return resolve(
        [named.parameter(decay) for named, decay in zip(tensors, decays, strict=True)],
        rules,
        match=match,
        strict=strict,
        separator=SEPARATOR,
        layers=layers,
        learning_rate=lr,  # type: ignore[arg-type]  # a 0-d tensor is a number there
        schedule=schedule,
        steps=steps,
    )


def _is_decay(weight_decay: object) -> bool:
    return isinstance(weight_decay, Real) and 0 <= float(weight_decay) < math.inf


def _members(plan: Plan) -> list[tuple[int, list[int]]]:
    """Each group's multiplier, as its place in ``plan.groups``, and the places of its rows.

    They are in the order in which the model first has a parameter of each.
    """
    members: dict[tuple[int, float | None], list[int]] = {}
    for number, (_, places) in enumerate(plan.groups):
        for place in places:
            row = plan.rows[place]
            if not row.frozen:
                members.setdefault((number, row.parameter.weight_decay), []).append(place)
    found = [(number, places) for (number, _), places in members.items()]
    return sorted(found, key=lambda group: group[1])


def _scaled(lr: float | Tensor, multiplier: float) -> float | Tensor:
    return lr.detach() * multiplier if isinstance(lr, Tensor) else float(lr) * multiplier


def _strategies(rules: Any) -> list[Strategy]:
    if isinstance(rules, Strategy):
        return [rules]
    if isinstance(rules, Sequence) and not isinstance(rules, str):
        return [strategy for part in rules for strategy in _strategies(part)]
    return []
