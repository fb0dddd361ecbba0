"""Rules as plain JSON data, and back."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from layerwise.errors import ConfigError, LayerwiseError
from layerwise.multipliers._plan import value_text
from layerwise.multipliers._rules import Rules, check_rule, normalize_rules
from layerwise.multipliers._strategies import STRATEGIES, Strategy
from layerwise.multipliers._values import Override, Value, check_value
from layerwise.schedules import Schedule, from_config

VERSION = 1

T = TypeVar("T")

FunctionName: TypeAlias = Callable[[Callable[..., Any]], str | None]
Functions: TypeAlias = Mapping[str, Callable[..., Any]]


def rules_to_config(
    rules: Rules | None, function_name: FunctionName | None = None
) -> dict[str, Any]:
    """Rules as plain JSON data, in the order written.

    Args:
        rules: Rules, as ``resolve`` takes them, or None.
        function_name: Gives the registered name of a callable, or None if it has none.

    Returns:
        Data that ``json.dumps`` takes and ``rules_from_config`` reads.

    Raises:
        ConfigError: A callable has no name, or a strategy or schedule no config.
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
        functions: The callables, by the names under which they were written.

    Returns:
        Rules that equal those that were written.

    Raises:
        ConfigError: The data is of another version, or names something unknown.

    Examples:
        >>> from layerwise.multipliers import layer_decay, rules_from_config, rules_to_config
        >>> rules_from_config(rules_to_config([layer_decay(0.75), {"head": 2}]))
        [layer_decay(0.75), {'head': 2.0}]
    """
    data = _checked_version(config, "rules")
    return _rules_from_data(data["rules"], functions or {})


def value_to_config(
    value: Value | Override, function_name: FunctionName | None = None, where: str = "a value"
) -> dict[str, Any]:
    """One multiplier as plain JSON data; see ``rules_to_config``.

    Args:
        value: A multiplier, or ``override(...)`` of one.
        function_name: Gives the registered name of a callable, or None if it has none.
        where: Where it stands, for the message: ``"the rule 'head'"``.

    Returns:
        Data that ``json.dumps`` takes and ``value_from_config`` reads.

    Raises:
        ConfigError: A callable has no name, or a schedule no config.
        MultiplierError: It is no multiplier.

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
        functions: The callables, by the names under which they were written.

    Raises:
        ConfigError: The data is of another version, or names something unknown.

    Examples:
        >>> from layerwise.multipliers import value_from_config, value_to_config
        >>> from layerwise.schedules import cosine
        >>> value_from_config(value_to_config(cosine(100)))
        cosine(100)
    """
    data = _checked_version(config, "value")
    return _value_from_data(data["value"], functions or {}, "a value")


def _rules_to_data(rules: Any, function_name: FunctionName | None) -> Any:
    if rules is None:
        return None
    if isinstance(rules, Strategy):
        return {"strategy": rules.to_config()}
    if isinstance(rules, Mapping):
        # A list of pairs: the order counts under glob and regex, and JSON may sort an object.
        pairs = [
            [key, _value_to_data(value, function_name, f"the rule {key!r}")]
            for key, value in rules.items()
        ]
        return {"mapping": pairs}
    return {"list": [_rules_to_data(part, function_name) for part in rules]}


def _rules_from_data(data: Any, functions: Functions) -> Rules | None:
    match data:
        case None:
            return None
        case {"strategy": config, **rest} if not rest:
            return _strategy_from_data(config)
        case {"mapping": list(pairs), **rest} if not rest:
            return dict(_pair_from_data(pair, functions) for pair in pairs)
        case {"list": list(parts), **rest} if not rest:
            return [_rules_from_data(part, functions) or {} for part in parts]
    raise ConfigError(f"{data!r} is no config of rules that this version of Layerwise knows.")


def _pair_from_data(pair: Any, functions: Functions) -> tuple[str, Value | Override]:
    match pair:
        case [str(key), data]:
            return key, _value_from_data(data, functions, f"the rule {key!r}")
    raise ConfigError(f"{pair!r} is no config of a rule: it has to be a key and a value.")


def _value_to_data(value: Any, function_name: FunctionName | None, where: str) -> Any:
    rule = check_rule(value, where)
    if isinstance(rule, Override):
        return {"override": _value_to_data(rule.value, function_name, where)}
    if isinstance(rule, Schedule):
        return {"schedule": rule.to_config()}
    if isinstance(rule, float | int):
        return rule
    name = None if function_name is None else function_name(rule)
    if name is None:
        raise ConfigError(
            f"{where} has the multiplier {value_text(rule)}, a function, which can't be "
            "written into a config. In Keras, register it with "
            "@keras.saving.register_keras_serializable(); or use a Layerwise schedule, such as "
            "layerwise.schedules.exponential(0.999)."
        )
    return {"function": name}


def _value_from_data(data: Any, functions: Functions, where: str) -> Value | Override:
    match data:
        case {"override": inner, **rest} if not rest:
            value = _value_from_data(inner, functions, where)
            if not isinstance(value, Override):
                return Override(value)
        case {"schedule": config, **rest} if not rest:
            return from_config(config, functions=functions)
        case {"function": str(name), **rest} if not rest:
            return _function(name, functions, where)
        case int() | float():
            return _as_config_error(lambda: check_value(data, where))
    raise ConfigError(
        f"{where} has the config {data!r}, which this version of Layerwise doesn't know."
    )


def _function(name: str, functions: Functions, where: str) -> Callable[..., Any]:
    try:
        return functions[name]
    except KeyError:
        raise ConfigError(
            f"{where} needs the function {name!r}, which is not known here; in Keras, register it "
            "before loading, or hand it in: functions={" + repr(name) + ": ...}."
        ) from None


def _strategy_from_data(config: Any) -> Strategy:
    make = STRATEGIES.get(str(config.get("name"))) if isinstance(config, Mapping) else None
    if make is not None:
        arguments = {str(name): value for name, value in config.items() if name != "name"}
        try:
            return _as_config_error(lambda: make(**arguments))
        except TypeError as error:
            raise ConfigError(f"the config {config!r} doesn't fit: {error}.") from None
    raise ConfigError(
        f"{config!r} is no config of a strategy that this version of Layerwise knows: "
        f"{', '.join(STRATEGIES)}."
    )


def _as_config_error(make: Callable[[], T]) -> T:
    try:
        return make()
    except LayerwiseError as error:
        raise ConfigError(f"a config holds what can't be used: {error}") from error


def _checked_version(config: object, field: str) -> Mapping[str, Any]:
    if not isinstance(config, Mapping) or "version" not in config or field not in config:
        raise ConfigError(
            f"{config!r} is no config of Layerwise: it needs 'version' and {field!r}."
        )
    if isinstance(config["version"], bool) or config["version"] != VERSION:
        raise ConfigError(
            f"the config has version {config['version']!r}; this version of Layerwise reads "
            f"version {VERSION}. Install the Layerwise that wrote it, or a newer one."
        )
    return config
