"""The structure of a regular expression, and in how many ways it can match."""

import re
from dataclasses import dataclass
from math import inf, prod
from typing import TypeAlias

UNBOUNDED = 10**9
"""Stands for a repetition without an upper bound."""

_REPEAT = re.compile(r"[*+?]|\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_OPENING = re.compile(
    r"\((?:\?(?:(?P<look>:|>|=|!|<=|<!)|P<\w+>|(?P<back>P=\w+)\)|(?P<note>#[^)]*)\)"
    r"|(?P<on>[aiLmsux]*)(?:-(?P<off>[imsx]+))?(?P<end>[:)])|(?P<if>\(\w+\))))?"
)
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|[0-7]{3}|[1-9][0-9]?|.)",
    re.DOTALL,
)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)


@dataclass(frozen=True)
class Atom:
    """One character of a kind, or a place between two; ``re`` itself judges it."""

    text: str
    flags: int
    place: bool


@dataclass(frozen=True)
class Sequence:
    """One part after another."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Either:
    """One part or another."""

    parts: "tuple[Node, ...]"


@dataclass(frozen=True)
class Repeat:
    """A part several times."""

    part: "Node"
    low: int
    high: int


Node: TypeAlias = Atom | Sequence | Either | Repeat


class Structure:
    """Reads the structure of a pattern that ``re`` has accepted."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.text, self.at = pattern.pattern, 0
        self.special: str | None = None
        """What only ``re`` can do, if the pattern has any of it."""
        if pattern.flags & re.VERBOSE:
            self.special = "the flag x"
        self.root = self.either(pattern.flags & ~re.VERBOSE)

    def either(self, flags: int) -> Node:
        parts = [self.sequence(flags)]
        while self.text[self.at : self.at + 1] == "|":
            self.at += 1
            parts.append(self.sequence(flags))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def sequence(self, flags: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            part = self.single(flags)
            if part is not None:
                parts.append(self.repeated(part))
        return Sequence(tuple(parts))

    def repeated(self, part: Node) -> Node:
        while found := _REPEAT.match(self.text, self.at):
            low, comma, high = found.groups()
            if low is None:
                bounds = {"*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}[found[0]]
            elif comma:
                bounds = int(low or 0), int(high or UNBOUNDED)
            else:
                bounds = int(low), int(low)
            self.at = found.end()
            after = self.text[self.at : self.at + 1]
            if after == "+":
                self.special = "a possessive quantifier"
            self.at += after in ("+", "?") and bool(after)
            part = Repeat(part, *bounds)
        return part

    def single(self, flags: int) -> Node | None:
        character = self.text[self.at]
        if character == "(":
            return self.group(flags)
        if character == "\\":
            found = _ESCAPE.match(self.text, self.at)
        else:
            found = _CLASS.match(self.text, self.at) if character == "[" else None
        text = found[0] if found else character
        self.at += len(text)
        if re.fullmatch(r"\\[1-9][0-9]?", text):
            self.special = "a backreference"
        return Atom(text, flags, text in ("^", "$", r"\A", r"\Z", r"\b", r"\B"))

    def group(self, flags: int) -> Node | None:
        found = _OPENING.match(self.text, self.at)
        if found is None:  # a bracket of a later Python: what is in it counts as a group
            self.special, self.at = "a group of a kind that Layerwise doesn't know", self.at + 1
            return self.closed(flags)
        self.at = found.end()
        if found["note"] is not None:
            return None
        if found["back"] is not None:
            self.special = "a backreference"
            return Atom(found[0], flags, place=False)
        for letter in found["on"] or "":
            if letter in "au":  # one of them at a time
                flags &= ~(re.ASCII | re.UNICODE)
            flags |= re.RegexFlag[letter.upper()]
        for letter in found["off"] or "":
            flags &= ~re.RegexFlag[letter.upper()]
        if flags & re.VERBOSE:
            self.special = "the flag x"
        if found["end"] == ")":
            return None  # flags of the whole pattern, which it has already
        if found["look"] not in (None, ":"):
            self.special = "a lookaround" if found["look"] != ">" else "an atomic group"
        if found["if"] is not None:
            self.special = "a condition"
        return self.closed(flags)

    def closed(self, flags: int) -> Node:
        inner = self.either(flags)
        self.at += 1  # the bracket
        return inner


def ways_of(node: Node, length: int) -> float:
    """An upper bound on the ways to match at one place of a name of this length."""
    match node:
        case Atom():
            return 1.0
        case Sequence(parts):
            return prod((ways_of(part, length) for part in parts), start=1.0)
        case Either(parts):
            return sum(ways_of(part, length) for part in parts)
        case Repeat(part, low, high):
            most, least = min(high, length), min(low, length)
            each = ways_of(part, length)
            if each == 1.0:
                return float(most - least + 1)
            try:
                return float((most - least + 1) * each**most)
            except OverflowError:
                return inf
