"""Which parameters take no weight decay."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from torch import Tensor

from layerwise.errors import MultiplierError
from layerwise.multipliers import resolve
from layerwise.torch._parameters import SEPARATOR, NamedTensor

NoDecay: TypeAlias = str | Callable[[str, Tensor], bool]
"""A key in the match mode of the rules, or a function of a parameter's name and tensor."""


def biases_and_norms(name: str, parameter: Tensor) -> bool:
    """Whether a parameter is a bias, or a scale such as those of normalization layers.

    True if it has at most one dimension, or if its name ends in ``bias``. Use it as ``no_decay=``,
    or as a model for a function of your own.

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
    return parameter.ndim <= 1 or name.rpartition(SEPARATOR)[2].endswith("bias")


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
    dead: dict[str, float] = {}
    for rule in _rules(no_decay):
        if isinstance(rule, str):
            # Each key by itself: keys that match the same parameter are no conflict here.
            plan = resolve(parameters, {rule: 0.0}, match=match, strict=False, separator=SEPARATOR)
            hits = [row.rule is not None for row in plan.rows]
            if not any(hits):
                dead[rule] = 0.0
        else:
            hits = [bool(rule(named.short, named.tensor)) for named in tensors]
            if strict and not any(hits):
                raise MultiplierError(
                    f"no_decay={rule!r} is true for no parameter. Leave it out, or allow rules "
                    "without effect with strict=False."
                )
        found = [one or other for one, other in zip(found, hits, strict=True)]
    if strict and dead:  # the error names all of them, and what is near
        resolve(parameters, dead, match=match, separator=SEPARATOR)
    return found


def _rules(no_decay: NoDecay | Iterable[NoDecay] | None) -> list[NoDecay]:
    if no_decay is None:
        return []
    if isinstance(no_decay, str) or not isinstance(no_decay, Iterable):
        no_decay = [no_decay]
    rules = list(no_decay)
    for rule in rules:
        if not isinstance(rule, str) and not callable(rule):
            raise MultiplierError(
                f"no_decay={rule!r} must be a key, such as 'bias' with match='substring', or a "
                "function of a name and a parameter, such as biases_and_norms."
            )
    return rules
