"""The rules that a caller may give, brought into one form."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from layerwise._checks import as_number, extent
from layerwise._text import shown
from layerwise.errors import AmbiguousRuleError, MultiplierError
from layerwise.multipliers._strategies.strategy import AnyStrategy
from layerwise.multipliers._values import Override, Value, check_value, same_value

Rules: TypeAlias = Mapping[str, Value | Override] | AnyStrategy | Sequence["Rules"]
"""A mapping of keys to multipliers, a strategy, or a sequence of these.

Examples:
    >>> from layerwise.multipliers import Parameter, Rules, layer_decay, resolve
    >>> rules: Rules = [layer_decay(0.5), {"head/bias": 2.0}]
    >>> names = ["body/kernel", "head/kernel", "head/bias"]
    >>> resolve(map(Parameter, names), rules).multipliers(0).tolist()
    [0.5, 1.0, 2.0]
"""


@dataclass(frozen=True)
class RuleSet:
    """Rules in one form.

    Attributes:
        explicit: All mappings as one, checked, in the order written.
        strategies: The strategies.
    """

    explicit: Mapping[str, Value | Override]
    strategies: tuple[AnyStrategy, ...]


def normalize_rules(rules: Rules | None, what: str = "rule") -> RuleSet:
    """Check rules and merge them.

    Args:
        rules: A mapping, a strategy, a sequence of these, or None for no rules.
        what: What one of them is called in messages.

    Raises:
        MultiplierError: It is none of these, or a value in it is no multiplier.
        AmbiguousRuleError: Two mappings give one key different values.
    """
    extent(rules, "Rules", MultiplierError)
    explicit: dict[str, Value | Override] = {}
    strategies = []
    for part in _parts(rules):
        if isinstance(part, AnyStrategy):
            strategies.append(part)
            continue
        for key, value in part.items():
            rule = check_rule(value, f"The {what} {shown(key)}")
            known = explicit.setdefault(key, rule)
            if known is not rule and not same_value(known, rule):
                raise AmbiguousRuleError(
                    f"The {what} {shown(key)} is given twice, as {shown(known)} and as "
                    f"{shown(rule)}; keep one."
                )
    return RuleSet(explicit, tuple(strategies))


def check_rule(value: object, where: str) -> Value | Override:
    """The checked value of a rule; an override stays an override."""
    return value if isinstance(value, Override) else check_value(value, where)


def _parts(rules: object) -> Iterator[Mapping[str, object] | AnyStrategy]:
    if rules is None:
        return
    if isinstance(rules, Mapping | AnyStrategy):
        yield rules
    elif isinstance(rules, Sequence) and not isinstance(rules, str | bytes):
        for part in rules:
            yield from _parts(part)
    else:
        hint = ""
        if as_number(rules) is not None:
            hint = " For one factor on everything, change the learning rate itself."
        elif callable(rules):
            hint = " A function belongs to a key: {'backbone': function}."
        raise MultiplierError(
            "Rules must be a mapping of names to multipliers, a strategy, or a list of these, got "
            f"{shown(rules)}.{hint}"
        )
