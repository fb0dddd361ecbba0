"""Rules as plain JSON data, and back."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from layerwise._checks import extent, version
from layerwise._text import shown
from layerwise.errors import ConfigError, LayerwiseError
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._rules import Rules, check_rule, normalize_rules
from layerwise.multipliers._strategies.strategy import STRATEGIES, AnyStrategy
from layerwise.multipliers._values import Override, Value, check_value, value_text
from layerwise.schedules import Schedule

VERSION = 1

T = TypeVar("T")

FunctionName: TypeAlias = Callable[[Callable[..., Any]], str | dict[str, Any] | None]
"""Gives what a config holds for a callable: its name, or a dict that its framework reads."""

Functions: TypeAlias = Mapping[Any, Callable[..., Any]]
"""The callables by what ``FunctionName`` gave for them."""


def rules_to_config(
    rules: Rules | None, function_name: FunctionName | None = None
) -> dict[str, Any]:
    """Rules as plain JSON data, in the order written.

    Args:
        rules: Rules as for ``resolve``, or None.
        function_name: Gives the registered name of a callable, or None if it has none.

    Returns:
        Data for ``json.dumps``, which ``rules_from_config`` reads.

    Raises:
        ConfigError: A callable has no name, or a strategy or schedule has no config.
        MultiplierError: The rules can't be used.

    Examples:
        >>> from layerwise.multipliers import rules_from_config, rules_to_config
        >>> config = rules_to_config({"backbone": 0.1})
        >>> config
        {'version': 1, 'rules': {'mapping': [['backbone', 0.1]]}}
        >>> rules_from_config(config)
        {'backbone': 0.1}
    """
    normalize_rules(rules)
    return {"version": VERSION, "rules": _rules_to_data(rules, function_name)}


def rules_from_config(config: object, functions: Functions | None = None) -> Rules | None:
    """The rules that ``rules_to_config`` wrote.

    Args:
        config: The data.
        functions: The callables by the names that were written for them.

    Returns:
        Rules that equal those that were written.

    Raises:
        ConfigError: The data has another version, or names something unknown.

    Examples:
        >>> from layerwise.multipliers import layer_decay, rules_from_config, rules_to_config
        >>> rules_from_config(rules_to_config([layer_decay(0.75), {"head": 2}]))
        [layer_decay(0.75), {'head': 2.0}]
    """
    data = _checked(config, "rules")
    return _rules_from_data(data["rules"], functions or {})


def value_to_config(
    value: Value | Override, function_name: FunctionName | None = None, where: str = "The value"
) -> dict[str, Any]:
    """One multiplier as plain JSON data; see ``rules_to_config``.

    Args:
        value: A multiplier, or ``override(...)`` of one.
        function_name: Gives the registered name of a callable, or None if it has none.
        where: Where the value stands, for the message: ``"The rule 'head'"``.

    Returns:
        Data for ``json.dumps``, which ``value_from_config`` reads.

    Raises:
        ConfigError: A callable has no name, or a schedule has no config.
        MultiplierError: The value is no multiplier.

    Examples:
        >>> from layerwise.multipliers import value_to_config
        >>> value_to_config(0.5)
        {'version': 1, 'value': 0.5}
    """
    return {"version": VERSION, "value": _value_to_data(value, function_name, where)}


def value_from_config(config: object, functions: Functions | None = None) -> Value | Override:
    """The multiplier that ``value_to_config`` wrote.

    Args:
        config: The data.
        functions: The callables by the names that were written for them.

    Returns:
        A multiplier that equals the one that was written.

    Raises:
        ConfigError: The data has another version, or names something unknown.

    Examples:
        >>> from layerwise.multipliers import value_from_config, value_to_config
        >>> from layerwise.schedules import cosine
        >>> value_from_config(value_to_config(cosine(100)))
        cosine(100)
    """
    data = _checked(config, "value")
    return _value_from_data(data["value"], functions or {}, "The value")


def _rules_to_data(rules: Rules | None, function_name: FunctionName | None) -> object:
    if rules is None:
        return None
    if isinstance(rules, AnyStrategy):
        return {"strategy": rules.to_config()}
    if isinstance(rules, Mapping):
        # The order counts under glob and regex, and JSON objects may get sorted: a list of pairs.
        pairs = [
            [
                key.to_data() if isinstance(key, ExactKey) else key,
                _value_to_data(value, function_name, f"The rule {shown(key)}"),
            ]
            for key, value in rules.items()
        ]
        return {"mapping": pairs}
    return {"list": [_rules_to_data(part, function_name) for part in rules]}


def _rules_from_data(data: object, functions: Functions) -> Rules | None:
    match data:
        case None:
            return None
        case {"strategy": config, **rest} if not rest:
            return _strategy_from_data(config)
        case {"mapping": list(pairs), **rest} if not rest:
            return dict(_pair_from_data(pair, functions) for pair in pairs)
        case {"list": list(parts), **rest} if not rest:
            return [_rules_from_data(part, functions) or {} for part in parts]
    raise ConfigError(f"{shown(data)} is no config of rules that this Layerwise knows.")


def _pair_from_data(pair: object, functions: Functions) -> tuple[str, Value | Override]:
    match pair:
        case [str(key), data]:
            return key, _value_from_data(data, functions, f"The rule {shown(key)}")
        case [written, data] if (exact := ExactKey.from_data(written)) is not None:
            return exact, _value_from_data(data, functions, f"The rule {shown(exact)}")
    raise ConfigError(f"{shown(pair)} is no config of a rule: it must be a key and a value.")


def _value_to_data(value: object, function_name: FunctionName | None, where: str) -> object:
    rule = check_rule(value, where)
    if isinstance(rule, Override):
        return {"override": _value_to_data(rule.value, function_name, where)}
    if isinstance(rule, Schedule):
        return {"schedule": rule.to_config()}
    if isinstance(rule, float | int):
        return rule
    name = None
    if function_name is not None:
        with suppress(AttributeError):  # a partial and a callable object have no __name__
            name = function_name(rule)
    if name is None:
        raise ConfigError(
            f"{where} has the multiplier {value_text(rule)}, a function that can't be written into "
            "a config. In Keras, register it with @keras.saving.register_keras_serializable() (an "
            "object: register its class, which needs get_config()); or use a Layerwise schedule, "
            "such as layerwise.schedules.exponential(0.999)."
        )
    return {"function": name}


def _value_from_data(data: object, functions: Functions, where: str) -> Value | Override:
    match data:
        case {"override": inner, **rest} if not rest:
            value = _value_from_data(inner, functions, where)
            if not isinstance(value, Override):
                return Override(value)
        case {"schedule": config, **rest} if not rest:
            return Schedule.from_config(config, functions=functions)
        case {"function": str() | dict() as name, **rest} if not rest:
            return _function(name, functions, where)
        case int() | float():
            return _as_config_error(lambda: check_value(data, where))
    raise ConfigError(f"{where} has the config {shown(data)}, which this Layerwise doesn't know.")


def _function(name: str | dict[str, Any], functions: Functions, where: str) -> Callable[..., Any]:
    try:
        return functions[name]
    except (KeyError, TypeError):  # a mapping of names takes no dict as a key
        known = name if isinstance(name, str) else str(name.get("class_name"))
        raise ConfigError(
            f"{where} needs the function {shown(known)}, which isn't known here. In Keras, "
            f"register it before loading; elsewhere pass functions={{{shown(known)}: ...}}."
        ) from None


def _strategy_from_data(config: object) -> AnyStrategy:
    if isinstance(config, Mapping) and (make := STRATEGIES.get(str(config.get("name")))):
        arguments = {str(name): value for name, value in config.items() if name != "name"}
        try:
            return _as_config_error(lambda: make(**arguments))
        except TypeError as error:
            raise ConfigError(f"The config {shown(config)} doesn't fit: {error}.") from None
    raise ConfigError(
        f"{shown(config)} is no config of a strategy that this Layerwise knows: "
        f"{', '.join(STRATEGIES)}."
    )


def _as_config_error(make: Callable[[], T]) -> T:
    try:
        return make()
    except LayerwiseError as error:
        raise ConfigError(f"The config can't be used: {error}") from error


def _checked(config: object, field: str) -> Mapping[str, Any]:
    if not isinstance(config, Mapping) or "version" not in config or field not in config:
        raise ConfigError(
            f"{shown(config)} is no config of Layerwise: it needs 'version' and {field!r}."
        )
    version(config["version"], f"The config of the {field}", ConfigError, VERSION)
    extent(config, f"The config of the {field}", ConfigError)
    return config
