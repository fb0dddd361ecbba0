"""Bands: a model's levels, pooled to a few, each of which gets one multiplier."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from layerwise._checks import as_number
from layerwise._text import shown
from layerwise.errors import AmbiguousRuleError, FinderError
from layerwise.finder._finding import ReadOnly
from layerwise.multipliers import Parameter, Plan, Rules, Strategy, moves, resolve


class _Levels(Strategy):
    """Gives each level its number, counted from 1, so that a plan shows each parameter's level."""

    def multipliers(self, count: int) -> list[float]:
        return [float(number) for number in range(1, count + 1)]

    def __repr__(self) -> str:
        return "the search"


def rules_to_search(fixed: Mapping[str, float] | None) -> Rules:
    """Rules whose plan ``Bands.of`` reads: fixed ones, and levels for everything else.

    Args:
        fixed: Rules that are kept, by key; numbers only.

    Raises:
        FinderError: They are no mapping, a key is no text, or a multiplier moves.

    Examples:
        >>> from layerwise.finder import Bands, rules_to_search
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = [Parameter("stem/kernel"), Parameter("body/kernel"), Parameter("head/kernel")]
        >>> Bands.of(resolve(names, rules_to_search({"stem": 0.0})), most=5).names
        ('body', 'head')
    """
    if fixed is None:
        return _Levels()
    if not isinstance(fixed, Mapping):
        raise FinderError(
            f"rules={fixed!r} must be a mapping of keys to numbers, which the search keeps. What "
            "a strategy says of every layer is what the search finds."
        )
    for key, value in fixed.items():
        if not isinstance(key, str):
            raise FinderError(
                f"The key {shown(key)} of rules= must be a string, part of a name: the rules that "
                "are found are saved. Use the path of the layer or parameter."
            )
        if moves(value) and as_number(value) is None:
            raise FinderError(
                f"The multiplier of {key!r} must be a number, which the search keeps, got "
                f"{value!r}. Search without it, and add it to the rules that are found."
            )
    return [dict(fixed), _Levels()]


@dataclass(frozen=True)
class Bands:
    """The bands of a model, from its input to its head, and what has a fixed rate.

    Attributes:
        parameters: The names of the parameters of each band.
        fixed: The multipliers that are kept, by parameter name: those of rules and annotations.
        given: The rules that were given.
        others: The names of parameters that don't train.
        held: The names of parameters that could train, but that the optimizer doesn't have. The
            rules freeze them, so that another optimizer leaves them as they are, too.
        aliases: The other names of shared parameters, by parameter name.
        separator: What stands between the parts of a name.

    Examples:
        >>> bands = Bands((("body/kernel", "body/bias"), ("head/kernel", "head/bias")))
        >>> bands.names, bands.rules([0.3, 1.0])
        (('body', 'head'), {'body/': 0.3})
    """

    parameters: tuple[tuple[str, ...], ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, float] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    separator: str = "/"

    def __post_init__(self) -> None:
        if not all(self.parameters) or not self.parameters:
            raise FinderError(
                f"There must be at least one band, each of at least one parameter, got "
                f"{shown(self.parameters)}."
            )
        for name in ("fixed", "given", "aliases"):
            object.__setattr__(self, name, ReadOnly(getattr(self, name)))

    @classmethod
    def of(
        cls,
        plan: Plan,
        most: int,
        given: Mapping[str, float] | None = None,
        held: Collection[str] = (),
    ) -> "Bands":
        """The bands of a plan that was made with ``rules_to_search``.

        Args:
            plan: The plan.
            most: How many bands there may be; levels that are neighbours are pooled.
            given: The rules that were given.
            held: The names of parameters that the optimizer doesn't have.

        Raises:
            FinderError: No parameter is left to search for.
        """
        levels: dict[int, list[str]] = {}
        fixed: dict[str, float] = {}
        others, kept, aliases = [], [], {}
        for row in plan.rows:
            name = _name(row.parameter)
            aliases[name] = row.parameter.aliases
            if not row.parameter.trainable:
                others.append(name)
            elif name in held and row.rule == repr(_Levels()):
                kept.append(name)
            elif row.rule == repr(_Levels()):
                levels.setdefault(int(row.value), []).append(name)  # type: ignore[arg-type]
            elif moves(row.value):
                raise FinderError(
                    f"The multiplier of {name!r} moves ({shown(row.value)}), and the search keeps "
                    "numbers only. Search without it, and give it back afterwards."
                )
            else:
                fixed[name] = float(row.value)  # type: ignore[arg-type]  # it moves otherwise
        if not levels:
            raise FinderError(
                "There is nothing to search for: every parameter is frozen, has a fixed rule, or "
                "isn't in the optimizer. Let some train, or leave rules out."
            )
        known = [levels[level] for level in sorted(levels)]
        bands = cls(
            parameters=tuple(map(tuple, pooled(known, most))),
            fixed=fixed,
            given={key: float(value) for key, value in (given or {}).items()},
            others=tuple(others),
            held=tuple(kept),
            aliases={name: more for name, more in aliases.items() if more},
            separator=plan.separator,
        )
        bands._check_nameable(plan)
        return bands

    def _check_nameable(self, plan: Plan) -> None:
        """Raise unless rules can give the bands their multipliers, whatever these are.

        Raises:
            FinderError: A key that names a weight begins the name of an annotated layer, too.
        """
        named = [row.parameter for row in plan.rows]
        rules = self.rules([2.0 + n for n in range(len(self.parameters))])
        try:
            resolve(named, rules, strict=False, separator=self.separator)
        except AmbiguousRuleError as error:
            raise FinderError(
                "No rule can name one weight of the search without naming a layer that carries a "
                f"multiplier of its own, too: {str(error).partition(':')[0]}. Rename one of them, "
                "or take the multiplier off the layer and give it as rules=."
            ) from error

    def number_of(self, parameter: Parameter) -> int | None:
        """The number of the band that a parameter is in, or None if it is in none."""
        return self._numbers.get(_name(parameter))

    def fixed_of(self, parameter: Parameter) -> float:
        """The fixed multiplier of a parameter that is in no band."""
        return self.fixed.get(_name(parameter), 1.0)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: n for n, names in enumerate(self.parameters) for name in names}

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each band: what it consists of, in short."""
        return tuple(", ".join(self._keys(names, "")) for names in self.parameters)

    def rules(self, multipliers: Sequence[float]) -> dict[str, float]:
        """Rules that give each band its multiplier, with the fixed ones.

        A key is a name, or the start of several, so that there are as few rules as possible.

        Args:
            multipliers: One for each band.
        """
        found: dict[str, float] = {}
        for names, multiplier in zip(self.parameters, multipliers, strict=True):
            if multiplier != 1.0:
                found |= dict.fromkeys(self._keys(names, self.separator), multiplier)
        found |= dict.fromkeys(self._keys(self.held, self.separator), 0.0)
        if not self._gives(found, multipliers):
            found = self._each(multipliers)
        return found | dict(self.given)

    def _keys(self, own: Sequence[str], end: str) -> list[str]:
        """The fewest starts of names that match some parameters and no others.

        Args:
            own: The names of these parameters.
            end: What to add to a start that is no whole name.
        """
        mine = set(own)
        foreign = [name for name in self._all() if name not in mine]
        spellings = [s for name in foreign for s in (name, *self.aliases.get(name, ()))]
        taken = {start for name in spellings for start in _starts(name, self.separator)}
        keys = []
        for name in own:
            starts = [start for start in _starts(name, self.separator) if start not in taken]
            keys.append(f"{starts[0]}{end}" if starts and starts[0] != name else name)
        return list(dict.fromkeys(keys))

    def _all(self) -> Iterable[str]:
        """The names of all parameters."""
        for names in (*self.parameters, self.fixed, self.held, self.others):
            yield from names

    def _each(self, multipliers: Sequence[float]) -> dict[str, float]:
        """The multiplier of each parameter in a band, or held, by its name."""
        pairs = zip((*self.parameters, self.held), (*multipliers, 0.0), strict=True)
        return {name: m for names, m in pairs for name in names}

    def _gives(self, rules: Mapping[str, float], multipliers: Sequence[float]) -> bool:
        """Whether rules give every parameter of the bands its multiplier."""
        wanted = self._each(multipliers)
        named = [Parameter(name, aliases=self.aliases.get(name, ())) for name in wanted]
        plan = resolve(named, rules, strict=False, separator=self.separator)
        return list(wanted.values()) == [row.value for row in plan.rows]


def _name(parameter: Parameter) -> str:
    """The name by which a search calls a parameter: the short one, if it has one."""
    return parameter.short or parameter.name


def pooled(levels: Sequence[Sequence[str]], most: int) -> list[list[str]]:
    """Levels in at most ``most`` bands of neighbours, as equal in size as possible.

    The last level, which is the head, is a band of its own.

    Examples:
        >>> pooled([["a"], ["b"], ["c"], ["d"], ["head"]], 3)
        [['a', 'b'], ['c', 'd'], ['head']]
    """
    if most == 1:
        return [[name for level in levels for name in level]]
    if len(levels) <= most:
        return [list(level) for level in levels]
    *body, head = levels
    bands: list[list[str]] = [[] for _ in range(most - 1)]
    for number, level in enumerate(body):
        bands[number * (most - 1) // len(body)] += level
    return [*bands, list(head)]


def _starts(name: str, separator: str) -> list[str]:
    """The starts of a name that end at a separator, and the name, from short to long."""
    parts = name.split(separator)
    return [separator.join(parts[:count]) for count in range(1, len(parts) + 1)]
