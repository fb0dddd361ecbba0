"""Which keys match which names, by prefix, substring, glob or regular expression."""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layerwise._checks import choice
from layerwise._text import shorten, shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._matching.regex import Search, Work
from layerwise.multipliers._names import layers_of

MODES = ("prefix", "substring", "glob", "regex")
"""The match modes."""

MOST_PATTERNS = 10_000
"""Globs or regular expressions in one set of rules."""

MOST_TRIES = 50_000_000
"""Of a pattern on a name: each takes about half of a millionth of a second."""

MOST_OF_A_PATTERN = 10_000
"""Characters of a glob or a regular expression."""


@dataclass(frozen=True)
class Matches:
    """Which keys match which names.

    Attributes:
        best: For each name, the keys that match it best: none, one, or several that are equally
            good.
        hit: The keys that match at least one name, even if a better key wins everywhere.
    """

    best: tuple[tuple[str, ...], ...]
    hit: frozenset[str]


def find_matches(
    keys: Sequence[str], names: Sequence[str], mode: str = "prefix", separator: str = "/"
) -> Matches:
    """Match every name against all keys.

    - ``prefix``: the name starts with the key, as plain text. The longest key wins.
    - ``substring``: the name contains the key. The longest key wins; keys of the same length are
      equally good.
    - ``glob``: the key is a shell pattern (``*``, ``?``, ``[ab]``) for the whole name or for a
      layer that the name lies in, so that ``block_?`` matches ``block_1/conv/kernel``. Case counts,
      and ``*`` also matches separators. The first key in the order written wins.
    - ``regex``: the key is a regular expression, found anywhere in the name. The first key in the
      order written wins.

    Args:
        keys: The keys, in the order written, each once.
        names: The names.
        mode: ``prefix``, ``substring``, ``glob`` or ``regex``.
        separator: What stands between the parts of a name.

    Raises:
        MultiplierError: The mode is unknown, a key is empty, a regular expression is invalid or may
            never end, or there are too many patterns.
    """
    check_keys(keys, mode)
    if mode in ("glob", "regex") and len(keys) * len(names) > MOST_TRIES:
        raise MultiplierError(
            f"match={mode!r} tries every key on every name, and {len(keys):,} keys on "
            f"{len(names):,} names are more than {MOST_TRIES:,} tries. Use fewer keys, or "
            "match='prefix', which takes any number."
        )
    return _FINDERS[mode](keys, names, separator)


def check_keys(keys: Sequence[object], mode: str) -> None:
    """Raise unless the mode is known and every key can be used in it."""
    choice(mode, "match", MultiplierError, MODES)
    patterns = mode in ("glob", "regex")
    if patterns and len(keys) > MOST_PATTERNS:
        raise MultiplierError(
            f"match={mode!r} takes at most {MOST_PATTERNS:,} rules, got {len(keys):,}. Use "
            "match='prefix', which takes any number."
        )
    for key in keys:
        if not isinstance(key, str):
            raise MultiplierError(
                f"The key {shown(key)} of a rule must be a string, part of a name."
            )
        if isinstance(key, ExactKey):
            continue
        if not key:
            raise MultiplierError("A rule has the empty key '', which would match every name.")
        if patterns and len(key) > MOST_OF_A_PATTERN:
            raise MultiplierError(
                f"The key {shown(key)} is a pattern of {len(key):,} characters; it must have at "
                f"most {MOST_OF_A_PATTERN:,}."
            )
        if mode == "regex":
            _compiled(key)


def _by_prefix(keys: Sequence[str], names: Sequence[str], separator: str) -> Matches:
    """One sweep over all keys and names in sorted order.

    In that order a key stands directly before everything that starts with it. So the keys that the
    current name starts with form a stack, the longest on top, and each step looks only at the top.
    For K keys and N names the cost is O((K + N) log(K + N)), whatever the keys are.
    """
    best: list[tuple[str, ...]] = [()] * len(names)
    hit: set[str] = set()
    open_keys: list[str] = []
    waiting = iter(sorted(keys))
    key = next(waiting, None)
    for index in sorted(range(len(names)), key=names.__getitem__):
        name = names[index]
        while key is not None and key <= name:
            _close(open_keys, key)
            open_keys.append(key)
            key = next(waiting, None)
        _close(open_keys, name)
        if open_keys:
            best[index] = (open_keys[-1],)
            # All keys below one that was hit before were hit with it.
            for below in reversed(open_keys):
                if below in hit:
                    break
                hit.add(below)
    return Matches(tuple(best), frozenset(hit))


def _close(open_keys: list[str], text: str) -> None:
    while open_keys and not text.startswith(open_keys[-1]):
        open_keys.pop()


def _by_substring(keys: Sequence[str], names: Sequence[str], separator: str) -> Matches:
    """Look at every key in every name, or at every piece of a name: whatever is less."""
    place = {key: number for number, key in enumerate(keys)}
    lengths = sorted(set(map(len, keys)), reverse=True)
    best: list[tuple[str, ...]] = []
    hit: set[str] = set()
    for name in names:
        pieces = sum(max(len(name) - length + 1, 0) for length in lengths)
        if pieces < len(keys):
            inside = {
                piece
                for length in lengths
                for start in range(len(name) - length + 1)
                if (piece := name[start : start + length]) in place
            }
        else:
            inside = {key for key in keys if key in name}
        hit |= inside
        longest = max(map(len, inside), default=0)
        best.append(tuple(sorted((k for k in inside if len(k) == longest), key=place.__getitem__)))
    return Matches(tuple(best), frozenset(hit))


def _by_glob(keys: Sequence[str], names: Sequence[str], separator: str) -> Matches:
    patterns = {key: re.compile(fnmatch.translate(key)).match for key in keys}

    def matches(key: str, name: str) -> bool:
        matches = patterns[key]
        return bool(matches(name)) or any(map(matches, layers_of(name, separator)))

    return _first(keys, names, matches)


def _by_regex(keys: Sequence[str], names: Sequence[str], separator: str) -> Matches:
    work = Work()
    found_in = {key: Search(key, _compiled(key), work).found_in for key in keys}
    return _first(keys, names, lambda key, name: found_in[key](name))


def _first(
    keys: Sequence[str], names: Sequence[str], matches: Callable[[str, str], bool]
) -> Matches:
    best = []
    for name in names:
        first = next((key for key in keys if matches(key, name)), None)
        best.append(() if first is None else (first,))
    return Matches(tuple(best), _matching_keys(keys, names, best, matches))


def _matching_keys(
    keys: Sequence[str],
    names: Sequence[str],
    best: Sequence[tuple[str, ...]],
    matches: Callable[[str, str], bool],
) -> frozenset[str]:
    won = {key for winners in best for key in winners}
    lost = [key for key in keys if key not in won]
    return frozenset(won.union(key for key in lost if any(matches(key, name) for name in names)))


def _compiled(key: str) -> re.Pattern[str]:
    try:
        return re.compile(key)
    except (re.error, OverflowError) as error:
        reason = str(error)
    except RecursionError:
        reason = "it is nested too deeply"
    raise MultiplierError(f"The key {shown(key)} is no regular expression: {shorten(reason, 200)}.")


_FINDERS = {"prefix": _by_prefix, "substring": _by_substring, "glob": _by_glob, "regex": _by_regex}
