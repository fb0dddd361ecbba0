"""Layers and variables as keys of rules, kept until it is known what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from keras import Variable
from keras.layers import Layer

from layerwise._text import shown
from layerwise.errors import AmbiguousRuleError, ConfigError, MultiplierError
from layerwise.keras._restored import full_name
from layerwise.multipliers import (
    AnyStrategy,
    ExactKey,
    KeyOf,
    Layers,
    ModelLayers,
    Override,
    Rules,
    RuleSpec,
    StepValue,
    Value,
    has_objects,
    named_layers,
    named_rules,
    place_of,
)

Key: TypeAlias = str | Layer | Variable
"""What a rule is for: a name in the match mode, or a layer or variable itself."""

ModelRules: TypeAlias = (
    Mapping[str, Value | Override]
    | Mapping[Key, Value | Override]
    | tuple[Key, Value | Override]
    | AnyStrategy
    | Sequence["ModelRules"]
    | Rules
)
"""Rules, in which layers and variables stand for themselves. Python can't hash a variable, so it
stands in a pair: ``[(layer.kernel, 0.5)]``."""

ModelLevels: TypeAlias = Sequence[Key | Sequence[Key]]
"""Levels from input to head, each a name, a layer, a variable, or several of these."""


@dataclass(frozen=True)
class ObjectSpec:
    """A ``RuleSpec`` with layers or variables in it, whose names are not known yet.

    The arguments are those of ``RuleSpec``, and they are checked as far as possible without names.
    """

    rules: ModelRules | None
    schedule: StepValue | None
    match: str
    strict: bool
    layers: ModelLevels | None
    decay_rules: ModelRules | None

    def __post_init__(self) -> None:
        texts: dict[str, list[object]] = {}

        def key_of(part: object) -> ExactKey:
            _check(part)
            alike = texts.setdefault(_text(part), [])
            place = next((i for i, each in enumerate(alike) if each is part), len(alike))
            if place == len(alike):
                alike.append(part)
            return ExactKey(_text(part) + (f" ({place + 1})" if place else ""))

        self._named(key_of)

    def named(self, variables: Sequence[Variable]) -> RuleSpec:
        """The rules for these variables, with names alone.

        Raises:
            AmbiguousRuleError: A name is also that of a variable which a key is not for.
        """
        names = [full_name(variable) for variable in variables]
        return self._named(lambda part: _key_of(part, variables, names))

    def to_config(self, function_name: object = None) -> dict[str, Any]:
        """There is no config before the variables are known.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "These rules are for layers or variables themselves, and a config has names, which are "
            "known when the optimizer is built. Call optimizer.build(model.trainable_variables) "
            "before saving or copying it."
        )

    def _named(self, key_of: KeyOf) -> RuleSpec:
        return RuleSpec(
            named_rules(self.rules, key_of),
            self.schedule,
            self.match,
            self.strict,
            named_layers(self.layers, key_of, (Layer, Variable)),
            named_rules(self.decay_rules, key_of),
        )


def spec_of(
    rules: ModelRules | None,
    *,
    schedule: StepValue | None,
    match: str,
    strict: bool,
    layers: ModelLevels | None,
    decay_rules: ModelRules | None,
) -> RuleSpec | ObjectSpec:
    """The rules that a caller gave, checked; with names alone if all keys are names."""
    given = ObjectSpec(rules, schedule, match, strict, layers, decay_rules)
    if has_objects(rules) or has_objects(decay_rules) or _has_parts(layers):
        return given
    return given.named(())


def _has_parts(layers: ModelLevels | Layers | None) -> bool:
    if layers is None or isinstance(layers, ModelLayers):
        return False
    parts = (
        part
        for level in layers
        for part in (level if isinstance(level, list | tuple | set) else [level])
    )
    return any(isinstance(part, Layer | Variable) for part in parts)


def _check(part: object) -> None:
    if not isinstance(part, Layer | Variable):
        raise MultiplierError(
            f"The key {shown(part)} of a rule must be a string, part of a name, or a layer or "
            "variable of the model."
        )


def _key_of(part: object, variables: Sequence[Variable], names: Sequence[str]) -> ExactKey:
    """The key of a layer or variable among these variables."""
    _check(part)
    if isinstance(part, Variable):
        place = next((i for i, variable in enumerate(variables) if variable is part), None)
        if place is None:
            return ExactKey(_text(part))
        return _unshared(ExactKey(names[place], [names[place]]), {place}, part, names)
    assert isinstance(part, Layer)
    place_by_id = {id(variable): place for place, variable in enumerate(variables)}
    owned = {id(v): v for v in part.variables if id(v) in place_by_id}
    if not owned:
        return ExactKey(_text(part))
    places = {place_by_id[key] for key in owned}
    full = [names[place_by_id[key]] for key in owned]
    start = f"{part.path}/"
    if all(v.path.startswith(start) for v in owned.values()):
        name = place_of(full, [v.path.removeprefix(start) for v in owned.values()], "/")
        if name is not None:
            return _unshared(ExactKey(name, [name]), places, part, names)
    # The name of a nested functional model is in no path.
    return _unshared(ExactKey(part.name, full, nameless=True), places, part, names)


def _unshared(key: ExactKey, own: set[int], part: object, names: Sequence[str]) -> ExactKey:
    """The key, if it matches nothing but these of the variables."""
    starts = tuple(f"{place}/" for place in key.places)
    wanted = set(key.places)
    for place, name in enumerate(names):
        if place not in own and (name in wanted or name.startswith(starts)):
            raise AmbiguousRuleError(
                f"{_text(part)} and another part of the model are both called {name!r}, and rules "
                "are kept by name. Give the layers names of their own, or use "
                "layerwise.keras.annotate(layer, multiplier), which needs none."
            )
    return key


def _text(part: object) -> str:
    name = part.path if isinstance(part, Variable) else getattr(part, "name", "")
    return f"<{type(part).__name__} {name}>"
