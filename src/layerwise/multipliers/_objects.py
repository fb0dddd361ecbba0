"""Rules and levels in which parts of a model stand for themselves, brought to names.

An adapter knows what the parts are called. It gives a function from a part to its key; everything
below the adapter sees keys alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from layerwise.multipliers._levels import Layers, ModelLayers
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._rules import Rules
from layerwise.multipliers._strategies.strategy import Strategy

KeyOf: TypeAlias = Callable[[object], ExactKey]
"""The key of a part of a model; raises for what can't be one.

Examples:
    >>> from layerwise.multipliers import ExactKey, KeyOf, named_rules
    >>> key_of: KeyOf = lambda layer: ExactKey(f"layer_{layer}", [f"layer_{layer}"])
    >>> named_rules({3: 0.5}, key_of)
    {'layer_3': 0.5}
"""


def named_rules(rules: object, key_of: KeyOf) -> Rules | None:
    """Rules in which every key that is not a text has become the key of that part of a model.

    A pair of a key and a value stands for a mapping with that key alone, for parts that Python
    can't hash.

    Args:
        rules: Rules, with parts of a model among the keys. What is no rules at all stays as it is.
        key_of: Gives the key of a part.

    Examples:
        >>> from layerwise.multipliers import ExactKey, named_rules
        >>> named_rules([("head", 2.0), (7, 0.5)], lambda part: ExactKey(f"layer {part}"))
        [{'head': 2.0}, {'layer 7': 0.5}]
    """
    if isinstance(rules, Mapping):
        return _mapping(rules.items(), key_of)
    if _is_pair(rules):
        return _mapping([rules], key_of)  # type: ignore[list-item]
    if isinstance(rules, Sequence) and not isinstance(rules, str | bytes):
        return [named_rules(part, key_of) or {} for part in rules]
    return rules  # type: ignore[return-value]  # a strategy, None, or what the noun refuses


def named_layers(layers: object, key_of: KeyOf, kinds: tuple[type, ...]) -> Layers | None:
    """Levels in which every part of a model has become its key.

    Args:
        layers: Levels, each a name, a part of a model, or several of these.
        key_of: Gives the key of a part.
        kinds: The classes of parts; some of these can be iterated over themselves.

    Examples:
        >>> from layerwise.multipliers import ExactKey, named_layers
        >>> named_layers([1, [2, "norm"]], lambda part: ExactKey(f"layer {part}"), (int,))
        ['layer 1', ['layer 2', 'norm']]
    """
    if isinstance(layers, str | ModelLayers) or not isinstance(layers, Sequence):
        return layers  # type: ignore[return-value]  # levels of names, None, or what is refused

    def named(level: object) -> object:
        if isinstance(level, kinds):
            return key_of(level)
        if isinstance(level, str) or not isinstance(level, Iterable):
            return level
        return [key_of(part) if isinstance(part, kinds) else part for part in level]

    return [named(level) for level in layers]  # type: ignore[misc]  # the noun checks them


def has_objects(rules: object) -> bool:
    """Whether any key in rules is not a text.

    Examples:
        >>> from layerwise.multipliers import has_objects
        >>> has_objects([{"head": 2.0}]), has_objects([(7, 0.5)])
        (False, True)
    """
    if isinstance(rules, Mapping):
        return not all(isinstance(key, str) for key in rules)
    if _is_pair(rules):
        return not isinstance(rules[0], str)  # type: ignore[index]
    if isinstance(rules, Sequence) and not isinstance(rules, str | bytes):
        return any(map(has_objects, rules))
    return False


def place_of(full: Sequence[str], inside: Sequence[str], separator: str) -> str | None:
    """The name of a layer, from the names of its parameters in the model and in itself.

    Args:
        full: The names in the model.
        inside: The names in the layer, in the same order.
        separator: What stands between the parts of a name.

    Returns:
        The one name with which all of these begin; None if there is none.

    Examples:
        >>> from layerwise.multipliers import place_of
        >>> place_of(["net.head.weight", "net.head.bias"], ["weight", "bias"], ".")
        'net.head'
    """
    ends = [f"{separator}{name}" for name in inside]
    starts = {
        name.removesuffix(end) if name.endswith(end) else None
        for name, end in zip(full, ends, strict=True)
    }
    return starts.pop() or None if len(starts) == 1 else None


def _is_pair(rules: object) -> bool:
    if not isinstance(rules, tuple) or len(rules) != 2:
        return False
    key, value = rules
    whole = isinstance(value, Mapping | Strategy | list | tuple) or value is None
    return not whole and not isinstance(key, Mapping | Strategy)


def _mapping(pairs: Iterable[tuple[object, object]], key_of: KeyOf) -> Rules:
    """One mapping; keys for the same part are left to the noun, which sees them side by side."""
    made: list[dict[str, object]] = [{}]
    for key, value in pairs:
        name = key if isinstance(key, str) else key_of(key)
        if name in made[-1]:
            made.append({})
        made[-1][name] = value
    return made[0] if len(made) == 1 else made  # type: ignore[return-value]
