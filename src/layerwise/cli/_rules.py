"""Rules from a file: a plain mapping, or the config that ``rules_to_config`` gives."""

from layerwise._checks import extent
from layerwise._text import shown
from layerwise.errors import ConfigError
from layerwise.multipliers import Rules, rules_from_config
from layerwise.schedules import Schedule


def rules_of(data: object) -> Rules | None:
    """Make rules of JSON data.

    Args:
        data: A mapping from key to number or to a schedule's config, or what
            ``rules_to_config`` gave.

    Raises:
        ConfigError: It is neither.

    Examples:
        >>> rules_of({"backbone": 0.1})
        {'backbone': 0.1}
        >>> rules_of({"version": 1, "rules": {"mapping": [["head", 2]]}})
        {'head': 2.0}
    """
    extent(data, "The config of rules", ConfigError)
    if not isinstance(data, dict):
        raise ConfigError(
            'Rules must map names to multipliers, such as {"backbone": 0.1}, got '
            f"{shown(data, 60)}."
        )
    if set(data) == {"version", "rules"}:
        return rules_from_config(data)
    return {
        key: Schedule.from_config(value) if isinstance(value, dict) else value
        for key, value in data.items()
    }
