"""Every error that Layerwise raises, on one page.

A message names the value, the place and the way out. All of them can be caught as
``LayerwiseError``; each is also the built-in error that a reader would expect.

What a message repeats may come from a stranger's file. So a message has no characters that steer a
terminal or that no encoding writes, and is never longer than a few pages.
"""

from layerwise._text import message_text as _message_text

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
    r"""The root of the tree: catches everything that Layerwise raises on purpose.

    Examples:
        >>> from layerwise import LayerwiseError, cosine
        >>> try:
        ...     cosine(-1)
        ... except LayerwiseError as error:
        ...     print(type(error).__name__)
        ScheduleError
        >>> LayerwiseError("\x1b[31mred")
        LayerwiseError('\\x1b[31mred')
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_message_text(a) if isinstance(a, str) else a for a in arguments))


class ScheduleError(LayerwiseError, ValueError):
    """A schedule was given an argument that it can't honour, or was combined wrongly.

    Examples:
        >>> from layerwise import cosine
        >>> cosine(-1)
        Traceback (most recent call last):
        ...
        layerwise.errors.ScheduleError: cosine: steps must be a whole number of at least 0, got -1.
    """


class MultiplierError(LayerwiseError, ValueError):
    """A multiplier, a rule, a match mode or a strategy is not usable.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> resolve([Parameter("head/kernel")], {"head": -1})
        Traceback (most recent call last):
        ...
        layerwise.errors.MultiplierError: The rule 'head' has the multiplier -1; it must be a
        finite number of at least 0, a schedule, or a callable of the step.
    """


class UnmatchedRuleError(MultiplierError):
    """A rule matches no parameter, so that it would silently do nothing.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> resolve([Parameter("head/kernel")], {"haed": 0.1})
        Traceback (most recent call last):
        ...
        layerwise.errors.UnmatchedRuleError: A rule matches no parameter (match='prefix'):
          'haed': nearest 'head'
        Correct the keys, or allow rules that match nothing with strict=False.
    """


class AmbiguousRuleError(MultiplierError):
    """Two equally good rules match one parameter.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> resolve([Parameter("ab/kernel")], {"ab": 0.1, "b/": 0.2}, match="substring")
        Traceback (most recent call last):
        ...
        layerwise.errors.AmbiguousRuleError: The rules 'ab' and 'b/' match 'ab/kernel' equally well
        under match='substring'; make one of them longer, or leave it out.
    """


class ConfigError(LayerwiseError, ValueError):
    """A config can't be written, or names something unknown to this version.

    Examples:
        >>> from layerwise import Schedule
        >>> Schedule.from_config({"version": 2, "schedule": {}})
        Traceback (most recent call last):
        ...
        layerwise.errors.ConfigError: A schedule's config has version 2, but this Layerwise reads
        version 1. Use the Layerwise that wrote it, or a newer one.
    """


class OptimizerError(LayerwiseError, ValueError):
    """An optimizer can't be multiplied: not one, already in use elsewhere, or changed inside.

    Examples:
        >>> from layerwise import LayerwiseError, OptimizerError
        >>> OptimizerError.__bases__ == (LayerwiseError, ValueError)
        True
    """


class FinderError(LayerwiseError, ValueError):
    """A search for a rate can't start, or has no answer where one is needed.

    Examples:
        >>> from layerwise.finder import QuadraticTrainer, search
        >>> search(QuadraticTrainer(), range(10), low=-1.0)
        Traceback (most recent call last):
        ...
        layerwise.errors.FinderError: low must be a finite number above 0, got -1.0.
    """


class RecorderError(LayerwiseError, ValueError):
    """A record can't be written where it should be, or can't be read as one.

    Examples:
        >>> from layerwise.recorder import History
        >>> History.load("nowhere")
        Traceback (most recent call last):
        ...
        layerwise.errors.RecorderError: There is no record in nowhere: nowhere/record.jsonl is
        missing. A Recorder('nowhere') writes it.
    """
