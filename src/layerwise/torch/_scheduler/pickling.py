"""Says what of a scheduler can't be pickled, before pickle tries."""

import pickle
from collections.abc import Iterable

from layerwise.errors import ConfigError
from layerwise.multipliers import Value, value_text


def check_picklable(values: Iterable[Value | None]) -> None:
    """Raise if a schedule or multiplier can't be pickled.

    Pickle's own error, of one class or another, would name neither it nor the way out.

    Raises:
        ConfigError: One is a lambda, a function within a function, or holds one.
    """
    for value in values:
        if value is None:
            continue
        try:
            pickle.dumps(value)
        except Exception as error:  # pickle raises many kinds
            raise ConfigError(
                f"{value_text(value)} can't be pickled, so that this ScheduleLR can't be either: "
                f"{error}. Save scheduler.state_dict(), and load it into a ScheduleLR made with "
                "the same function; or define the function at the top of a module."
            ) from error
