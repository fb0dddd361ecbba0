"""Which rule wins for each parameter, whatever names the parameter has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from layerwise.errors import AmbiguousRuleError
from layerwise.multipliers._matching.exact_key import ExactKey, exact_matches
from layerwise.multipliers._matching.match import find_matches
from layerwise.multipliers._names import wrapper_of
from layerwise.multipliers._plan import Parameter
from layerwise.multipliers._values import Override, Value, same_value

ExplicitRules: TypeAlias = Mapping[str, Value | Override]


@dataclass(frozen=True)
class Winners:
    """Which rules apply.

    Attributes:
        keys: The key that wins for each parameter, or None.
        unmatched: The keys that match nothing.
    """

    keys: tuple[str | None, ...]
    unmatched: tuple[str, ...]


def find_winners(
    rules: ExplicitRules, parameters: Sequence[Parameter], mode: str, separator: str
) -> Winners:
    """Match rules against parameters.

    A key is first matched against the full names. If it matches none, it is matched against the
    names without the wrapper in front of them. It then counts as the full key that it stands for:
    for ``model/a/b/kernel``, the key ``a/b`` wins over ``model/a``.

    If all names have the same wrapper in front, a key that is only a part of it (``conv`` of
    ``conv_net/``) does not match the whole model, only what it matches behind the wrapper.

    Args:
        rules: Checked values by key.
        parameters: The parameters.
        mode: A match mode.
        separator: What stands between the parts of a name.

    Raises:
        AmbiguousRuleError: Two equally good keys match one name; or two names of a shared parameter
            get different values by keys of which neither refines the other.
        MultiplierError: The mode is unknown or a key can't be used in it.
    """
    paths = [parameter.paths() for parameter in parameters]
    pairs = [pair for several in paths for pair in several]
    names = [name for name, _ in pairs]
    exact = exact_matches(rules, names, separator)
    texts = [key for key in rules if not isinstance(key, ExactKey)]
    shorts = [short for _, short in pairs if short]
    wrapper = _common_wrapper(pairs)
    behind = {key for key in texts if _only_in(wrapper, key, mode)}
    whole = wrapper.rstrip(separator)
    if whole in behind and not find_matches([whole], shorts, mode, separator).hit:
        behind.remove(whole)  # nothing behind the wrapper matches, so the whole model is meant
    full = find_matches([key for key in texts if key not in behind], names, mode, separator)
    rest = [key for key in texts if key not in full.hit]
    bare = find_matches(rest, shorts, mode, separator)
    full_best, bare_best, exact_best = iter(full.best), iter(bare.best), iter(exact)
    judge = _Judge(rules, mode)
    keys = []
    for parameter, several in zip(parameters, paths, strict=True):
        winners = []
        for name, short in several:
            candidates = [*next(exact_best), *((key, len(key)) for key in next(full_best))]
            if short:
                left_out = len(name) - len(short)
                candidates += [(key, len(key) + left_out) for key in next(bare_best)]
            if candidates:
                winners.append(judge.of_one_name(candidates, name))
        keys.append(judge.of_all_names(winners, parameter) if winners else None)
    hit = {*full.hit, *bare.hit, *(key for each in exact for key, _ in each)}
    return Winners(tuple(keys), tuple(key for key in rules if key not in hit))


def _common_wrapper(names: Sequence[tuple[str, str | None]]) -> str:
    """The wrapper in front of every name; empty if the names have different ones."""
    wrappers = {wrapper_of(name, short) for name, short in names}
    return wrappers.pop() if len(wrappers) == 1 else ""


def _only_in(wrapper: str, key: str, mode: str) -> bool:
    """Whether a key is a part of the wrapper, so that it would match every name."""
    if mode == "prefix":
        return key != wrapper and wrapper.startswith(key)
    return mode == "substring" and key != wrapper and key in wrapper


class _Judge:
    """Decides between keys that match one parameter."""

    def __init__(self, rules: ExplicitRules, mode: str) -> None:
        self.rules = rules
        self.mode = mode
        self.ordered = mode in ("glob", "regex")
        self.place = {key: place for place, key in enumerate(rules)}

    def of_one_name(self, candidates: list[tuple[str, int]], name: str) -> str:
        """The best of these pairs of a key and the number of characters that it covers."""
        if len(candidates) == 1:
            return candidates[0][0]
        best = max(map(self.standing, candidates))
        best_keys = [c[0] for c in candidates if self.standing(c) == best]
        if isinstance(best_keys[0], ExactKey) and 0 <= best < len(name) and not self.ordered:
            # A layer: its name as text, without the separator behind it, is as good.
            texts = [c for c in candidates if not isinstance(c[0], ExactKey)]
            best_keys += [key for key, covered in texts if covered == best - 1]
        first, *others = dict.fromkeys(best_keys)
        if others:
            raise AmbiguousRuleError(
                f"The rules {first!r} and {others[0]!r} match {name!r} equally well under "
                f"match={self.mode!r}; make one of them longer, or leave it out."
            )
        return first

    def standing(self, candidate: tuple[str, int]) -> int:
        """What decides between keys for one name: how much they cover, or which comes first."""
        key, covered = candidate
        if self.mode == "prefix":
            return covered
        if self.mode == "substring":
            return covered if isinstance(key, ExactKey) else len(key)
        return -self.place[key]

    def of_all_names(self, winners: list[str], parameter: Parameter) -> str:
        """The best of the keys that won for the single names of a parameter."""
        if self.ordered:
            return min(winners, key=self.place.__getitem__)
        best = max(winners, key=len)
        for other in winners:
            refined = best.startswith(other) if self.mode == "prefix" else other in best
            if not refined and not same_value(self.value(best), self.value(other)):
                names = ", ".join(map(repr, (parameter.name, *parameter.aliases)))
                raise AmbiguousRuleError(
                    f"One parameter has the names {names}, and the rules {best!r} and {other!r} "
                    "give them different multipliers; leave one of the rules out, or give all "
                    "these names the same value with longer keys."
                )
        return best

    def value(self, key: str) -> Value:
        """A rule's multiplier."""
        rule = self.rules[key]
        return rule.value if isinstance(rule, Override) else rule
