"""Which parameters take no weight decay."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from layerwise.errors import MultiplierError
from layerwise.multipliers import resolve
from layerwise.torch._parameters import SEPARATOR, NamedTensor, plain

# What weight_norm calls a gain: in torch.nn.utils.parametrizations, and in torch.nn.utils before.
_GAIN = re.compile(r"(^|\.)parametrizations\.\w+\.original0$|_g$")

NoDecay: TypeAlias = str | Callable[[str, Tensor], bool]
"""A key in the match mode of the rules, or a function of a parameter's name and tensor."""


def biases_and_norms(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a bias, or a scale such as those of normalization layers.

    True if it has at most one dimension, if its name ends in ``bias``, or if it is the gain of
    ``weight_norm``, of which only one dimension is larger than 1. Use it as ``no_decay=``, or as a
    model for a function of your own.

    Args:
        name: The parameter's name.
        parameter: The parameter.

    Returns:
        Whether it should take no weight decay.

    Examples:
        >>> from torch import nn
        >>> from layerwise.torch import biases_and_norms
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
        >>> [name for name, p in model.named_parameters() if biases_and_norms(name, p)]
        ['0.bias', '1.weight', '1.bias']

    Source: the rule that timm and nanoGPT use.
    """
    if parameter.ndim <= 1 or plain(name).rpartition(SEPARATOR)[2].endswith("bias"):
        return True
    return bool(_GAIN.search(name)) and sum(size > 1 for size in parameter.shape) <= 1


def undecayed(
    tensors: Sequence[NamedTensor],
    no_decay: NoDecay | Iterable[NoDecay] | None,
    match: str,
    strict: bool,
) -> list[bool]:
    """Whether each parameter takes no weight decay.

    Args:
        tensors: The parameters.
        no_decay: A key or function, or several, of which any one suffices; None for no rule.
        match: How keys match names.
        strict: Whether a key or function that matches nothing is an error.

    Raises:
        MultiplierError: It is neither a key nor a function, or a function matches nothing.
        UnmatchedRuleError: A key matches nothing.
    """
    parameters = [named.parameter() for named in tensors]
    found = [False] * len(tensors)
    rules = _rules(no_decay)
    keys = [rule for rule in rules if isinstance(rule, str)]
    alone = match == "substring"  # where keys of equal length for one parameter are a conflict
    dead: dict[str, float] = {}
    for several in [[key] for key in keys] if alone else [keys]:
        plan = resolve(
            parameters,
            dict.fromkeys(several, 0.0),
            match=match,
            strict=strict and not alone,
            separator=SEPARATOR,
        )
        hits = [row.rule is not None for row in plan.rows]
        found = [one or other for one, other in zip(found, hits, strict=True)]
        if alone and not any(hits):
            dead[several[0]] = 0.0
    if strict and dead:  # the error names all of them, and what is near
        resolve(parameters, dead, match=match, separator=SEPARATOR)
    for rule in rules:
        if not isinstance(rule, str):
            hits = [bool(rule(named.short, named.tensor)) for named in tensors]
            if strict and not any(hits):
                raise MultiplierError(
                    f"no_decay={rule!r} is true for no parameter. Leave it out, or allow rules "
                    "without effect with strict=False."
                )
            found = [one or other for one, other in zip(found, hits, strict=True)]
    return found


def _rules(no_decay: NoDecay | Iterable[NoDecay] | None) -> list[NoDecay]:
    if no_decay is None:
        return []
    if isinstance(no_decay, str) or not isinstance(no_decay, Iterable):
        no_decay = [no_decay]
    rules = list(no_decay)
    for rule in rules:
        if isinstance(rule, nn.Module):
            raise MultiplierError(
                f"no_decay={type(rule).__name__}(...) is a module, and must be a key or a function "
                "of a name and a parameter. A module is a key of decay_rules={module: 0}."
            )
        if not isinstance(rule, str) and not callable(rule):
            raise MultiplierError(
                f"no_decay={rule!r} must be a key, such as 'bias' with match='substring', or a "
                "function of a name and a parameter, such as biases_and_norms."
            )
    return rules
