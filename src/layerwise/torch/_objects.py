"""Modules and parameters of a model as keys of rules, and what they are called."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers import (
    AnyStrategy,
    ExactKey,
    Override,
    Rules,
    RuleSpec,
    StepValue,
    Value,
    named_layers,
    named_rules,
    place_of,
)
from layerwise.torch._parameters import SEPARATOR, Named, NamedTensor

Key: TypeAlias = str | nn.Module | Tensor
"""What a rule is for: a name in the match mode, or a module or parameter itself."""

ModelRules: TypeAlias = (
    Mapping[str, Value | Override]
    | Mapping[Key, Value | Override]
    | tuple[Key, Value | Override]
    | AnyStrategy
    | Sequence["ModelRules"]
    | Rules
)
"""Rules, in which modules and parameters stand for themselves."""

ModelLevels: TypeAlias = Sequence[Key | Sequence[Key]]
"""Levels from input to head, each a name, a module, a parameter, or several of these."""


def spec_of(
    model: Named,
    tensors: Sequence[NamedTensor],
    rules: ModelRules | None,
    *,
    schedule: StepValue | None = None,
    match: str,
    strict: bool,
    layers: ModelLevels | None,
    decay_rules: ModelRules | None,
) -> RuleSpec:
    """The rules for a model, with names in place of its modules and parameters.

    Raises:
        MultiplierError: A rule, value, level or match mode can't be used.
        AmbiguousRuleError: Two rules give one key different values.
        ScheduleError: ``schedule`` is neither a schedule nor a callable of the step.
    """

    def key_of(part: object) -> ExactKey:
        return _key_of(part, model, tensors)

    return RuleSpec(
        named_rules(rules, key_of),
        schedule,
        match,
        strict,
        named_layers(layers, key_of, (nn.Module, Tensor)),
        named_rules(decay_rules, key_of),
    )


def _key_of(part: object, model: Named, tensors: Sequence[NamedTensor]) -> ExactKey:
    if isinstance(part, Tensor):
        for named in tensors:
            if named.tensor is part:
                return ExactKey(named.name, named.names)
        shape = "x".join(map(str, part.shape))
        return ExactKey(f"<{type(part).__name__} {shape}>")
    if not isinstance(part, nn.Module):
        raise MultiplierError(
            f"The key {shown(part)} of a rule must be a string, part of a name, or a module or "
            "parameter of the model."
        )
    if part is model or not isinstance(model, nn.Module):
        return _by_parameters(part, tensors)
    names = [n for n, module in model.named_modules(remove_duplicate=False) if module is part]
    return ExactKey(names[0], names) if names else ExactKey(f"<{_text(part)}>")


def _by_parameters(module: nn.Module, tensors: Sequence[NamedTensor]) -> ExactKey:
    """The key of a module whose name is not known, from its parameters."""
    known = {id(named.tensor): named for named in tensors}
    pairs = [
        (known[id(tensor)].name, name)
        for name, tensor in module.named_parameters()
        if id(tensor) in known
    ]
    if not pairs:
        return ExactKey(f"<{_text(module)}>")
    full, inside = zip(*pairs, strict=True)
    place = place_of(full, inside, SEPARATOR)
    if place is not None:
        return ExactKey(place, [place])
    return ExactKey(type(module).__name__, full, nameless=True)


def _text(module: nn.Module) -> str:
    return f"{type(module).__name__}({module.extra_repr()})"
