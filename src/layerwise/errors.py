"""Every error that Layerwise raises, on one page.

A message names the value, the place and the way out. All of them can be caught as
:class:`LayerwiseError`; each is also the built-in error that a reader would expect.
"""

__all__ = [
    "AmbiguousRuleError",
    "ConfigError",
    "FinderError",
    "LayerwiseError",
    "MultiplierError",
    "OptimizerError",
    "RecorderError",
    "ScheduleError",
    "UnmatchedRuleError",
]


class LayerwiseError(Exception):
    """The root of the tree: catches everything that Layerwise raises on purpose."""


class ScheduleError(LayerwiseError, ValueError):
    """A schedule was given an argument that it can't honour, or was combined wrongly."""


class MultiplierError(LayerwiseError, ValueError):
    """A multiplier, a rule, a match mode or a strategy is not usable."""


class UnmatchedRuleError(MultiplierError):
    """A rule matches no parameter, so that it would silently do nothing."""


class AmbiguousRuleError(MultiplierError):
    """Two rules of equal standing claim one parameter."""


class ConfigError(LayerwiseError, ValueError):
    """A config can't be written, or names something unknown to this version."""


class OptimizerError(LayerwiseError, ValueError):
    """An optimizer can't be multiplied: not one, already in use elsewhere, or changed inside."""


class FinderError(LayerwiseError, ValueError):
    """A search for a rate can't start: its range, its data, or what it is to train."""


class RecorderError(LayerwiseError, ValueError):
    """A record can't be written where it should be, or can't be read as one."""
