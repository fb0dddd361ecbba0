"""Rules and parameters in, a plan out."""

from collections.abc import Iterable, Sequence

from layerwise._checks import number, sequence, whole
from layerwise._numbers import counted
from layerwise._text import first_few, shown
from layerwise.errors import AmbiguousRuleError, MultiplierError, UnmatchedRuleError
from layerwise.multipliers._depth.from_names import levels_from_names
from layerwise.multipliers._levels import (
    FoundLevels,
    Layers,
    Levels,
    ModelLayers,
    check_layers,
    find_levels,
)
from layerwise.multipliers._matching.longer_numbers import longer_numbers, warn_of_longer_numbers
from layerwise.multipliers._matching.match import check_keys
from layerwise.multipliers._matching.unmatched import unmatched_error
from layerwise.multipliers._matching.winners import find_winners
from layerwise.multipliers._plan import Parameter, Plan, PlanRow
from layerwise.multipliers._rules import Rules, normalize_rules
from layerwise.multipliers._stacked import check_known, split_levels
from layerwise.multipliers._strategies.by_parameter import ModelFacts, ParameterStrategy
from layerwise.multipliers._strategies.strategy import AnyStrategy, Strategy
from layerwise.multipliers._values import Override, Value, check_value, product


def resolve(
    parameters: Iterable[Parameter],
    rules: Rules | None = None,
    *,
    match: str = "prefix",
    strict: bool = True,
    separator: str = "/",
    layers: Layers | None = None,
    learning_rate: float | None = None,
    schedule: Value | None = None,
    steps: Sequence[int] = (),
    step: int = 0,
) -> Plan:
    """Decide which multiplier each parameter gets.

    Explicit rules win over strategies, and so do annotations on layers. A rule and an annotation
    for the same parameter are an error, unless the rule is ``override(...)``. Several strategies
    multiply. Without any of these the multiplier is 1.

    Args:
        parameters: The model's parameters, in its order.
        rules: A mapping of keys to multipliers, a strategy, or a sequence of these.
        match: How keys match names: ``prefix`` (the longest wins), ``substring`` (the longest
            wins), ``glob`` or ``regex`` (the first in the order written wins).
        strict: Whether a key that matches nothing is an error.
        separator: What stands between the parts of a name.
        layers: Levels from input to head for the strategies, each a name, the start of names, or
            a list of these; by default those of ``levels_from_names``.
        learning_rate: The base learning rate, for the plan's rates.
        schedule: A factor on the base learning rate for all parameters, for the plan's rates.
        steps: More steps to show rates at, beside ``step``.
        step: The present step: optimizer updates already applied.

    Returns:
        The plan: one row per parameter.

    Raises:
        MultiplierError: A value, key, match mode, level or strategy can't be used.
        UnmatchedRuleError: A key matches no parameter, and ``strict`` is true.
        AmbiguousRuleError: Two equally good rules match one parameter, or a rule and an annotation
            do.

    Examples:
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = ["Dense/kernel", "Dense-12/kernel", "Output/kernel"]
        >>> plan = resolve(map(Parameter, names), {"Dense": 0.5, "Dense-1": 0.1})
        >>> plan.multipliers(0).tolist()
        [0.5, 0.1, 1.0]
    """
    plan = resolve_quietly(
        parameters,
        rules,
        match=match,
        strict=strict,
        separator=separator,
        layers=layers,
        learning_rate=learning_rate,
        schedule=schedule,
        steps=steps,
        step=step,
    )
    warn_of_longer_numbers(plan.notes)
    return plan


def resolve_quietly(
    parameters: Iterable[Parameter],
    rules: Rules | None = None,
    *,
    match: str = "prefix",
    strict: bool = True,
    separator: str = "/",
    layers: Layers | None = None,
    learning_rate: float | None = None,
    schedule: Value | None = None,
    steps: Sequence[int] = (),
    step: int = 0,
    model: ModelFacts | None = None,
    for_decay: bool = False,
) -> Plan:
    """See ``resolve``; what the plan notes is not warned of.

    ``model`` is what else is known of the model and its optimizer, for strategies by parameter.
    With ``for_decay`` messages call the rules those of weight decay.
    """
    listed = _checked_parameters(parameters)
    ruleset = normalize_rules(rules, "decay rule" if for_decay else "rule")
    check_keys(list(ruleset.explicit), match)
    winners = find_winners(ruleset.explicit, listed, match, separator)
    if strict and winners.unmatched:
        what = "rule of decay_rules=" if for_decay else "rule"
        raise unmatched_error(winners.unmatched, listed, match, separator, what)
    annotations = [
        None
        if parameter.annotation is None
        else check_value(parameter.annotation, f"The annotation of {parameter.name!r}")
        for parameter in listed
    ]
    # Rules may be checked before there is a model, and without one there are no levels.
    strategies = ruleset.strategies if listed else ()
    finder = _LevelFinder(listed, check_layers(layers), strict, separator)
    needed = [
        strict and parameter.trainable and key is None and annotation is None
        for parameter, key, annotation in zip(listed, winners.keys, annotations, strict=True)
    ]
    defaults, found = _from_strategies(strategies, finder, needed, model or ModelFacts())
    notes = (*longer_numbers(winners.keys, listed, match, separator), *finder.notes, *found)
    rules_won = [None if key is None else ruleset.explicit[key] for key in winners.keys]
    parts = zip(listed, winners.keys, rules_won, annotations, defaults, strict=True)
    return Plan(
        tuple(_row(*each) for each in parts),
        learning_rate=None if learning_rate is None else _rate(learning_rate),
        schedule=None if schedule is None else _schedule(schedule),
        steps=tuple(whole(s, "steps", MultiplierError) for s in steps),
        step=whole(step, "step", MultiplierError),
        separator=separator,
        notes=tuple(dict.fromkeys(notes)),
    )


def _checked_parameters(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    listed = tuple(parameters)
    for parameter in listed:
        if not isinstance(parameter, Parameter):
            raise MultiplierError(
                f"parameters must be of the class Parameter, got {shown(parameter)}. A name "
                'becomes one by Parameter("name").'
            )
    return listed


def _row(
    parameter: Parameter,
    key: str | None,
    rule: Value | Override | None,
    annotation: Value | None,
    default: tuple[str | None, Value],
) -> PlanRow:
    """The row of a parameter: a rule decides, or else an annotation, or else strategies.

    Raises:
        AmbiguousRuleError: There are both a rule and an annotation.
    """
    if rule is None:
        decided = default if annotation is None else ("annotation", annotation)
        return PlanRow(parameter, *decided)
    if isinstance(rule, Override):
        return PlanRow(parameter, key, rule.value)
    if annotation is not None:
        raise AmbiguousRuleError(
            f"{parameter.name!r} has the annotation {annotation!r} and the rule "
            f"{key!r}: {rule!r}; keep one, or let the rule win: {key!r}: override({rule!r})."
        )
    return PlanRow(parameter, key, rule)


def _from_strategies(
    strategies: Sequence[AnyStrategy],
    finder: "_LevelFinder",
    needed: Sequence[bool],
    model: ModelFacts,
) -> tuple[list[tuple[str | None, Value]], list[str]]:
    """For each parameter, which strategies decide and the multiplier; and the strategies' notes."""
    parts: list[list[tuple[str, Value]]] = [[] for _ in finder.parameters]
    owned = [False for _ in finder.parameters]
    notes: list[str] = []
    for strategy in strategies:
        if isinstance(strategy, Strategy):
            by_level = _by_level(strategy, finder)
            decided = [None if value is None else (repr(strategy), value) for value in by_level]
            owned = [one or value is not None for one, value in zip(owned, by_level, strict=True)]
        else:
            by_parameter, more = _by_parameter(strategy, finder, needed, model)
            decided = [*by_parameter]
            notes += more
        for own, part in zip(parts, decided, strict=True):
            if part is not None:
                own.append(part)
    if any(isinstance(strategy, Strategy) for strategy in strategies):
        _check_owned(
            [
                parameter
                for parameter, need, level in zip(finder.parameters, needed, owned, strict=True)
                if need and not level
            ]
        )
    found = [
        (" * ".join(text for text, _ in own) or None, product(*(value for _, value in own)))
        for own in parts
    ]
    return found, notes


def _by_level(strategy: Strategy, finder: "_LevelFinder") -> list[Value | None]:
    """The multiplier of each parameter by its level; None for what is in none."""
    levels, count = finder.levels(strategy)
    given = sequence(strategy.multipliers(count), f"The levels of {strategy!r}", MultiplierError)
    values = [check_value(value, f"A level of {strategy!r}") for value in given]
    if len(values) != count:
        raise MultiplierError(
            f"{strategy!r} gives {len(values)} multipliers for {count} levels; it must give "
            "one for each."
        )
    return [None if level is None else values[level] for level in levels]


def _by_parameter(
    strategy: AnyStrategy, finder: "_LevelFinder", needed: Sequence[bool], model: ModelFacts
) -> tuple[list[tuple[str, Value] | None], list[str]]:
    """The reason and multiplier of each parameter, None without any, and the strategy's notes."""
    if not isinstance(strategy, ParameterStrategy):
        raise MultiplierError(
            f"{shown(strategy)} must be a Strategy, which gives a multiplier for each level, or a "
            "ParameterStrategy, which gives one for each parameter."
        )
    each, notes = strategy.decide(finder.parameters, needed, model, finder.separator)
    if len(each) != len(finder.parameters):
        raise MultiplierError(
            f"{strategy!r} decides on {len(each)} parameters of {len(finder.parameters)}; it must "
            "decide on each, or say None."
        )
    pairs = zip(finder.parameters, each, strict=True)
    return [
        None
        if decision is None
        else (decision.reason, check_value(decision.value, f"{strategy!r} at {parameter.name!r}"))
        for parameter, decision in pairs
    ], list(notes)


class _LevelFinder:
    """Finds the levels of parameters for one strategy after the other.

    Attributes:
        notes: What is to be said about names in the levels that were found.
    """

    def __init__(
        self, parameters: Sequence[Parameter], layers: Levels | None, strict: bool, separator: str
    ) -> None:
        self.parameters = parameters
        self.layers = layers
        self.strict = strict
        self.separator = separator
        self.notes: list[str] = []

    def levels(self, strategy: Strategy) -> tuple[tuple[int | None, ...], int]:
        """The level of each parameter for a strategy, and how many levels there are.

        In levels that a caller wrote, one without any of these parameters does not count.
        """
        written = check_layers(strategy.layers)
        used = self.layers if written is None else written
        if used is None:
            used = levels_from_names((p.name for p in self.parameters), self.separator)
        found = find_levels(used, self.parameters, self.separator)
        levels = found.of
        if isinstance(used, ModelLayers):
            return levels, len(used)
        if self.strict:
            self._check(used, found)
            check_known(strategy.stacked, self.parameters)
        self.notes += found.notes
        levels = split_levels(levels, self.parameters)
        filled = sorted({level for level in levels if level is not None})
        place = {level: i for i, level in enumerate(filled)}
        return tuple(None if level is None else place[level] for level in levels), len(filled)

    def _check(self, used: Sequence[Sequence[str]], found: FoundLevels) -> None:
        """Raise if a name or a level without effect is among the levels."""
        if found.unmatched:
            what = "name in layers="
            raise unmatched_error(found.unmatched, self.parameters, "prefix", self.separator, what)
        if found.empty:
            raise UnmatchedRuleError(
                f"The level {list(used[found.empty[0]])} of layers= has no parameter, because "
                "longer names in other levels take all that it names. Leave the level out, or "
                "these longer names."
            )


def _check_owned(lost: Sequence[Parameter]) -> None:
    """Raise if there are parameters that need a level and are in none."""
    if lost:
        one = len(lost) == 1
        raise UnmatchedRuleError(
            f"{counted(len(lost), 'parameter')} {'is' if one else 'are'} in no level of layers= "
            f"and would train at the full rate: {first_few([p.name for p in lost], 3)}. Add "
            f"{'it' if one else 'them'} to a level, give a rule by name beside "
            "the strategy, or allow it with strict=False."
        )


def _rate(learning_rate: object) -> float:
    if callable(learning_rate):
        raise MultiplierError(
            f"learning_rate={shown(learning_rate)} must be a number; a rate that changes with the "
            "step is a number and a schedule=."
        )
    return number(learning_rate, "learning_rate", MultiplierError)


def _schedule(schedule: object) -> Value:
    try:
        return check_value(schedule, "schedule=")
    except MultiplierError:
        raise MultiplierError(
            f"schedule={shown(schedule)} must be a schedule, a callable of the step, or a number "
            "of at least 0."
        ) from None
