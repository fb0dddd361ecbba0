"""RuleSpec: the rules that a caller gave, checked once, resolved for any model, and saved."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from layerwise._text import shown
from layerwise.errors import ConfigError, MultiplierError, ScheduleError
from layerwise.multipliers._config import (
    FunctionName,
    Functions,
    rules_from_config,
    rules_to_config,
    value_from_config,
    value_to_config,
)
from layerwise.multipliers._levels import Layers, check_layers, layers_config
from layerwise.multipliers._matching.longer_numbers import warn_of_longer_numbers
from layerwise.multipliers._plan import Parameter, Plan, with_decays
from layerwise.multipliers._resolve import resolve_quietly
from layerwise.multipliers._rules import Rules, normalize_rules
from layerwise.multipliers._strategies.by_parameter import ModelFacts
from layerwise.multipliers._strategies.strategy import Strategy
from layerwise.multipliers._values import Override, StepValue, Value, first_value


def _tried(value: StepValue, what: str) -> StepValue:
    first_value(value, what)
    return value


@dataclass(frozen=True)
class RuleSpec:
    """Rules, a schedule, and how the rules match: the arguments that all adapters share.

    They are checked and copied when the spec is made, so that changes to the caller's mappings have
    no effect later.

    Args:
        rules: Rules as for ``resolve``, or None.
        schedule: A factor on the base learning rate for all parameters, or None.
        match: How keys match names: ``prefix``, ``substring``, ``glob`` or ``regex``.
        strict: Whether a key that matches nothing is an error.
        layers: Levels from input to head for the strategies, or None for the model's.
        decay_rules: Rules for weight decay, which match in the same way: a multiplier for the
            weight decay of each parameter.

    Raises:
        MultiplierError: A value, key, level or match mode can't be used.
        AmbiguousRuleError: Two mappings give one key different values.
        ScheduleError: ``schedule`` is neither a schedule nor a callable of the step.

    Examples:
        >>> from layerwise.multipliers import Parameter, RuleSpec
        >>> spec = RuleSpec({"body": 0.1})
        >>> spec.resolve([Parameter("body/kernel"), Parameter("head/kernel")]).multipliers(0)
        array([0.1, 1. ])
    """

    rules: Rules | None = None
    schedule: StepValue | None = None
    match: str = "prefix"
    strict: bool = True
    layers: Layers | None = None
    decay_rules: Rules | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", check_layers(self.layers))
        object.__setattr__(self, "rules", _copied(self.rules))
        resolve_quietly((), self.rules, match=self.match, strict=False)
        object.__setattr__(self, "decay_rules", _copied(self.decay_rules))
        resolve_quietly((), self.decay_rules, match=self.match, strict=False, for_decay=True)
        for key, value in normalize_rules(self.decay_rules).explicit.items():
            if isinstance(value, Override):
                raise MultiplierError(
                    f"The decay rule {shown(key)} is {shown(value)}, and no layer has a weight "
                    f"decay of its own for it to win over. Give the value itself: {value.value!r}."
                )
        given: object = self.schedule
        if given is not None and (not callable(given) or isinstance(given, type)):
            raise ScheduleError(
                f"schedule={shown(given)} must be a schedule or a callable of the step; a "
                "constant factor is layerwise.constant(...)."
            )

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """The strategies by level among the rules, and among those for weight decay."""
        given = (self.rules, self.decay_rules)
        found = (each for rules in given for each in normalize_rules(rules).strategies)
        return tuple(each for each in found if isinstance(each, Strategy))

    @property
    def needs_order(self) -> bool:
        """Whether a strategy needs the order of the model's layers."""
        return self.layers is None and any(each.layers is None for each in self.strategies)

    def resolve(
        self,
        parameters: Iterable[Parameter],
        *,
        separator: str = "/",
        order: Callable[[], Layers] | None = None,
        absent: Sequence[Parameter] = (),
        learning_rate: float | None = None,
        steps: Sequence[int] = (),
        step: int = 0,
        prepare: Callable[[StepValue, str], Value] = _tried,
        model: ModelFacts | None = None,
    ) -> Plan:
        """The plan of a model's parameters; each schedule and callable is tried once.

        Args:
            parameters: The model's parameters, in its order. If there are none, no rule counts as
                unmatched.
            separator: What stands between the parts of a name.
            order: Returns the model's levels from input to head. It is called only if
                ``needs_order``. By default the levels are those of ``levels_from_names``.
            absent: Parameters that are not in the plan, but that rules may match.
            learning_rate: The base learning rate, for the plan's rates.
            steps: More steps to show rates at, beside ``step``.
            step: The present step: optimizer updates already applied.
            prepare: Gets each different schedule or callable once, with what it is
                (``"The multiplier of 'head'"``), and returns the value for the plan. By default it
                tries the value with ``first_value`` and returns it unchanged.
            model: What else is known of the model and its optimizer.

        Returns:
            The plan: one row per parameter.

        Raises:
            MultiplierError: A value, level or strategy can't be used.
            UnmatchedRuleError: A key matches no parameter, and ``strict`` is true.
            AmbiguousRuleError: Two equally good rules match one parameter, or a rule and an
                annotation do.

        Examples:
            >>> from layerwise.multipliers import Parameter, RuleSpec, layer_decay
            >>> names = [Parameter("body/kernel"), Parameter("stem/kernel")]
            >>> spec = RuleSpec(layer_decay(0.5))
            >>> spec.resolve(names, order=lambda: ["stem", "body"]).multipliers(0).tolist()
            [1.0, 0.5]
        """
        known = tuple(parameters)
        layers = order() if order is not None and known and self.needs_order else self.layers
        strict = self.strict and bool(known)
        by_rules = partial(
            resolve_quietly,
            match=self.match,
            separator=separator,
            layers=layers,
            model=model,
        )
        if strict and absent:
            by_rules((*known, *absent), self.rules)
        plan = by_rules(
            known,
            self.rules,
            strict=strict and not absent,
            learning_rate=learning_rate,
            schedule=self.schedule,
            steps=steps,
            step=step,
        )
        if self.decay_rules is not None:
            bare = [replace(p, annotation=None) for p in known]
            if strict and absent:
                by_rules((*bare, *absent), self.decay_rules, for_decay=True)
            alone = strict and not absent
            decays = by_rules(bare, self.decay_rules, strict=alone, for_decay=True)
            plan = with_decays(plan, decays)
        warn_of_longer_numbers(plan.notes)
        return plan.map_values(prepare)

    def to_config(self, function_name: FunctionName | None = None) -> dict[str, Any]:
        """The spec as plain JSON data; see ``rules_to_config``.

        Args:
            function_name: Gives the registered name of a callable, or None if it has none.

        Raises:
            ConfigError: A callable has no name, or a strategy or schedule has no config.

        Examples:
            >>> from layerwise.multipliers import RuleSpec
            >>> spec = RuleSpec({"body": 0.1}, match="substring")
            >>> RuleSpec.from_config(spec.to_config()) == spec
            True
        """
        rules, schedule, layers = self.rules, self.schedule, self.layers
        decays = self.decay_rules
        return {
            "rules": None if rules is None else rules_to_config(rules, function_name),
            "schedule": None
            if schedule is None
            else value_to_config(schedule, function_name, "The schedule"),
            "match": self.match,
            "strict": self.strict,
            "layers": layers_config(check_layers(layers)),
        } | ({} if decays is None else {"decay_rules": rules_to_config(decays, function_name)})

    @classmethod
    def from_config(cls, config: Mapping[str, Any], functions: Functions | None = None) -> Self:
        """The spec that ``to_config`` wrote.

        Args:
            config: The data; other keys in it are ignored.
            functions: The callables by the names that were written for them.

        Raises:
            ConfigError: The data is incomplete, has another version, or names something unknown.
        """
        missing = {"rules", "schedule", "match", "strict"} - set(config)
        if missing:
            raise ConfigError(f"The config of the rules lacks {', '.join(sorted(missing))}.")
        rules, schedule = config["rules"], config["schedule"]
        decays = config.get("decay_rules")
        factor = None if schedule is None else value_from_config(schedule, functions)
        if isinstance(factor, Override | float | int):
            raise ConfigError(f"The config of the rules has {shown(factor)} as its schedule.")
        return cls(
            None if rules is None else rules_from_config(rules, functions),
            factor,
            config["match"],
            config["strict"],
            config.get("layers"),
            None if decays is None else rules_from_config(decays, functions),
        )


def _copied(rules: Rules | None) -> Rules | None:
    if isinstance(rules, Mapping):
        return dict(rules)
    if isinstance(rules, Sequence) and not isinstance(rules, str | bytes):
        return tuple(_copied(part) or {} for part in rules)
    return rules
