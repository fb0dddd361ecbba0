"""The error for rules that match nothing, with the nearest names and the way out."""

import difflib
from collections.abc import Sequence

from layerwise._text import first_few, shown
from layerwise.errors import UnmatchedRuleError
from layerwise.multipliers._matching.exact_key import ExactKey
from layerwise.multipliers._names import layers_of
from layerwise.multipliers._plan import Parameter

_SHOWN = 10
# More names are not compared: an error may take a moment, not a minute.
_COMPARED = 5_000
_LONGEST = 1_000  # characters of what is compared


def unmatched_error(
    keys: Sequence[str],
    parameters: Sequence[Parameter],
    mode: str,
    separator: str,
    what: str = "rule",
) -> UnmatchedRuleError:
    """One error for all keys that match nothing.

    Args:
        keys: The keys, at least one.
        parameters: The model's parameters.
        mode: The match mode.
        separator: What stands between the parts of a name.
        what: What the keys are: ``rule``, ``rule of decay_rules=`` or ``name in layers=``.

    Returns:
        The error, for the caller to raise.
    """
    first, _, rest = what.partition(" ")
    several = f"{first}s {rest}".rstrip()
    count = f"A {what} matches" if len(keys) == 1 else f"{len(keys)} {several} match"
    lines = [f"{count} no parameter (match={mode!r}):"]
    names = _names_and_layers(parameters, separator)
    for key in keys[:_SHOWN]:
        lines.append(f"  {shown(key, 200)}: {_advice(key, names, mode)}")
    if len(keys) > _SHOWN:
        lines.append(f"  … and {len(keys) - _SHOWN} more")
    keys_or_names = "keys" if first == "rule" else "names"
    lines.append(
        f"Correct the {keys_or_names}, or allow {first}s that match nothing with strict=False."
    )
    return UnmatchedRuleError("\n".join(lines))


def _names_and_layers(parameters: Sequence[Parameter], separator: str) -> list[str]:
    """What a key may have meant: all names and all layers."""
    known: dict[str, None] = {}
    for parameter in parameters:
        for name, short in parameter.paths():
            for path in (name,) if short is None else (short, name):
                known.update(dict.fromkeys(layers_of(path, separator)))
                known[path] = None
            if len(known) > _COMPARED:
                return list(known)
    return list(known)


def _advice(key: str, names: list[str], mode: str) -> str:
    if not names:
        return "there are no parameters"
    if isinstance(key, ExactKey):
        return "no parameter has this name" if key.places else "it is not a part of this model"
    inside = next((name for name in names if key in name), None)
    if inside is not None and mode == "prefix":
        return f"no name starts with it, but {shown(inside, 200)} contains it (match='substring')"
    if any(sign in key for sign in "*?[") and mode in ("prefix", "substring"):
        return "it looks like a pattern (match='glob' or match='regex')"
    near = _nearest(key, names)
    if near:
        return "nearest " + ", ".join(shown(name, 200) for name in near)
    return f"nothing is near it; the names begin with {first_few(names, 3)}"


def _nearest(key: str, names: list[str]) -> list[str]:
    if len(key) > _LONGEST:
        return []
    spelled: dict[str, str] = {}
    for name in names:
        if len(name) > _LONGEST:
            continue
        spelled.setdefault(name.lower(), name)
    near = difflib.get_close_matches(key.lower(), list(spelled), n=3, cutoff=0.5)
    return [spelled[name] for name in near]
