"""Which rule wins for each parameter, over all the names that a parameter has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from layerwise.errors import AmbiguousRuleError
from layerwise.multipliers._matching.match import find_matches
from layerwise.multipliers._parameter import Parameter
from layerwise.multipliers._values import Override, Value, same_value

ExplicitRules: TypeAlias = Mapping[str, Value | Override]


@dataclass(frozen=True)
class Winners:
    """The key that won for each parameter, or None, and the keys that match nothing."""

    keys: tuple[str | None, ...]
    unmatched: tuple[str, ...]


def find_winners(
    rules: ExplicitRules, parameters: Sequence[Parameter], mode: str, separator: str
) -> Winners:
    """Match rules against parameters.

    A key is matched against full names; one that matches none of them is matched against what
    is left of the names without what a wrapper put in front. A key found there has the standing
    of the full key that it stands for, so that ``a/b`` for ``model/a/b/kernel`` wins over
    ``model/a``.

    Where one wrapper is in front of every name, a key that is no more than a part of it (``conv``
    of ``conv_net/``) does not stand for the whole model, only for what it matches behind it.

    Args:
        rules: Checked values by key.
        parameters: The parameters.
        mode: A match mode.
        separator: What stands between the parts of a name.

    Raises:
        AmbiguousRuleError: Two keys of equal standing match one name; or the names of a shared
            parameter are matched by keys that say different things, and neither refines the other.
        MultiplierError: The mode is unknown or a key can't be used in it.
    """
    paths = [parameter.paths() for parameter in parameters]
    names = [name for own in paths for name, _ in own]
    shorts = [short for own in paths for _, short in own if short]
    wrapper = _common_wrapper([pair for own in paths for pair in own])
    behind = {key for key in rules if _only_in(wrapper, key, mode)}
    whole = wrapper.rstrip(separator)
    if whole in behind and not find_matches([whole], shorts, mode, separator).hit:
        behind.remove(whole)  # its whole name is meant: nothing behind it is called so
    full = find_matches([key for key in rules if key not in behind], names, mode, separator)
    rest = [key for key in rules if key not in full.hit]
    bare = find_matches(rest, shorts, mode, separator)
    full_best, bare_best = iter(full.best), iter(bare.best)
    judge = _Judge(rules, mode)
    keys = []
    for parameter, own in zip(parameters, paths, strict=True):
        winners = []
        for name, short in own:
            candidates = [(key, len(key)) for key in next(full_best)]
            if short:
                left_out = len(name) - len(short)
                candidates += [(key, len(key) + left_out) for key in next(bare_best)]
            if candidates:
                winners.append(judge.of_one_name(candidates, name))
        keys.append(judge.of_all_names(winners, parameter) if winners else None)
    return Winners(tuple(keys), tuple(key for key in rest if key not in bare.hit))


def _common_wrapper(names: Sequence[tuple[str, str | None]]) -> str:
    """What stands in front of every name and may be left out; empty if it differs."""
    wrappers = {
        name.removesuffix(short) if short and name.endswith(short) else "" for name, short in names
    }
    return wrappers.pop() if len(wrappers) == 1 else ""


def _only_in(wrapper: str, key: str, mode: str) -> bool:
    """Whether a key lies within the wrapper, and so would match every name."""
    if mode == "prefix":
        return key != wrapper and wrapper.startswith(key)
    return mode == "substring" and key != wrapper and key in wrapper


class _Judge:
    """Decides between keys that match one parameter."""

    def __init__(self, rules: ExplicitRules, mode: str) -> None:
        self.rules = rules
        self.mode = mode
        self.place = {key: place for place, key in enumerate(rules)}

    def of_one_name(self, candidates: list[tuple[str, int]], name: str) -> str:
        """The best of the (key, characters of the name that it covers)."""
        if len(candidates) == 1:
            return candidates[0][0]
        best = max(map(self.standing, candidates))
        first, *others = dict.fromkeys(c[0] for c in candidates if self.standing(c) == best)
        if others:
            raise AmbiguousRuleError(
                f"the rules {first!r} and {others[0]!r} both match {name!r}, with equal standing "
                f"under match={self.mode!r}; make one of them longer, or leave it out."
            )
        return first

    def standing(self, candidate: tuple[str, int]) -> int:
        """What decides between keys that match one name: how much of it, or which was first."""
        key, covered = candidate
        if self.mode == "prefix":
            return covered
        return len(key) if self.mode == "substring" else -self.place[key]

    def of_all_names(self, winners: list[str], parameter: Parameter) -> str:
        """The best of the keys that won for one name each."""
        if self.mode in ("glob", "regex"):
            return min(winners, key=self.place.__getitem__)
        best = max(winners, key=len)
        for other in winners:
            refined = best.startswith(other) if self.mode == "prefix" else other in best
            if not refined and not same_value(self.value(best), self.value(other)):
                names = ", ".join(map(repr, (parameter.name, *parameter.aliases)))
                raise AmbiguousRuleError(
                    f"one parameter has the names {names}, and the rules {best!r} and {other!r} "
                    "give them different multipliers; give it one, by a longer key for each name "
                    "with the same value, or leave one of the rules out."
                )
        return best

    def value(self, key: str) -> Value:
        rule = self.rules[key]
        return rule.value if isinstance(rule, Override) else rule
