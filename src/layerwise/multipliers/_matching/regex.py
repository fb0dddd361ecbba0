"""Regular expressions that come to an end.

Python's ``re`` tries one way after another, and ``(a+)+b`` has 2**n ways to match n letters ``a``.
So the structure of a pattern is read first: how many ways it has at most on a name of this length.
If they are few, ``re`` does the work. If they are many, all ways are followed at once, a character
at a time, which takes no more steps than the name has characters times the pattern has parts. What
only ``re`` can do, such as a reference back, is refused where it might not end.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf, prod
from time import thread_time
from typing import TypeAlias

from layerwise._text import shown
from layerwise.errors import MultiplierError

FEW_WAYS = 1e5
"""So many ways take ``re`` less than a thousandth of a second."""

MANY_WAYS = 1e9
"""``re`` is not even tried on more."""

MOST_STEPS = 30_000_000
"""Of all patterns on all names, where the ways are followed at once: about ten seconds."""

MOST_SECONDS = 3.0
"""For ``re`` on patterns with more than a few ways; after that, their ways are followed at once."""

_MOST_INSTRUCTIONS = 5_000
_UNBOUNDED = 10**9
_REPEAT = re.compile(r"[*+?]|\{(\d*)(,?)(\d*)\}")
_OPENING = re.compile(
    r"\((?:\?(?:(?P<look>:|>|=|!|<=|<!)|P<\w+>|(?P<back>P=\w+)\)|(?P<note>#[^)]*)\)"
    r"|(?P<on>[aiLmsux]*)(?:-(?P<off>[imsx]+))?(?P<end>[:)])|(?P<if>\(\w+\))))?"
)
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|[0-7]{3}|[1-9]\d?|.)",
    re.DOTALL,
)
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)


@dataclass(frozen=True)
class _Atom:
    """One character of a kind, or a place between two; ``re`` itself judges it."""

    text: str
    flags: int
    place: bool


@dataclass(frozen=True)
class _Sequence:
    parts: "tuple[_Node, ...]"


@dataclass(frozen=True)
class _Either:
    parts: "tuple[_Node, ...]"


@dataclass(frozen=True)
class _Repeat:
    part: "_Node"
    low: int
    high: int


_Node: TypeAlias = _Atom | _Sequence | _Either | _Repeat


class _Reader:
    """Reads the structure of a pattern that ``re`` has accepted."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.text, self.at = pattern.pattern, 0
        self.special: str | None = None
        """What only ``re`` can do, if the pattern has any of it."""
        if pattern.flags & re.VERBOSE:
            self.special = "the flag x"
        self.root = self.either(pattern.flags & ~re.VERBOSE)

    def either(self, flags: int) -> _Node:
        parts = [self.sequence(flags)]
        while self.text[self.at : self.at + 1] == "|":
            self.at += 1
            parts.append(self.sequence(flags))
        return parts[0] if len(parts) == 1 else _Either(tuple(parts))

    def sequence(self, flags: int) -> _Node:
        parts: list[_Node] = []
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            part = self.single(flags)
            if part is not None:
                parts.append(self.repeated(part))
        return _Sequence(tuple(parts))

    def repeated(self, part: _Node) -> _Node:
        while (found := _REPEAT.match(self.text, self.at)) and found[0] not in ("{}", "{,}"):
            low, comma, high = found.groups()
            if low is None:
                bounds = {"*": (0, _UNBOUNDED), "+": (1, _UNBOUNDED), "?": (0, 1)}[found[0]]
            elif comma:
                bounds = int(low or 0), int(high or _UNBOUNDED)
            else:
                bounds = int(low), int(low)
            self.at = found.end()
            after = self.text[self.at : self.at + 1]
            if after == "+":
                self.special = "a possessive quantifier"
            self.at += after in ("+", "?") and bool(after)
            part = _Repeat(part, *bounds)
        return part

    def single(self, flags: int) -> _Node | None:
        character = self.text[self.at]
        if character == "(":
            return self.group(flags)
        if character == "\\":
            found = _ESCAPE.match(self.text, self.at)
        else:
            found = _CLASS.match(self.text, self.at) if character == "[" else None
        text = found[0] if found else character
        self.at += len(text)
        if re.fullmatch(r"\\[1-9]\d?", text):
            self.special = "a reference back"
        return _Atom(text, flags, text in ("^", "$", r"\A", r"\Z", r"\b", r"\B"))

    def group(self, flags: int) -> _Node | None:
        found = _OPENING.match(self.text, self.at)
        if found is None:  # a bracket of a later Python: what is in it counts as a group
            self.special, self.at = "a group of a kind that Layerwise doesn't know", self.at + 1
            return self.closed(flags)
        self.at = found.end()
        if found["note"] is not None:
            return None
        if found["back"] is not None:
            self.special = "a reference back"
            return _Atom(found[0], flags, place=False)
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
            self.special = "a look around" if found["look"] != ">" else "an atomic group"
        if found["if"] is not None:
            self.special = "a condition"
        return self.closed(flags)

    def closed(self, flags: int) -> _Node:
        inner = self.either(flags)
        self.at += 1  # the bracket
        return inner


def _ways(node: _Node, length: int) -> float:
    """At most so many ways to match at one place of a name of this length."""
    match node:
        case _Atom():
            return 1.0
        case _Sequence(parts):
            return prod((_ways(part, length) for part in parts), start=1.0)
        case _Either(parts):
            return sum(_ways(part, length) for part in parts)
        case _Repeat(part, low, high):
            most, least = min(high, length), min(low, length)
            each = _ways(part, length)
            if each == 1.0:
                return float(most - least + 1)
            try:
                return float((most - least + 1) * each**most)
            except OverflowError:
                return inf


@dataclass
class Work:
    """What the patterns of one call have left to use."""

    steps: int = MOST_STEPS
    seconds: float = MOST_SECONDS


_Test: TypeAlias = Callable[[str, int], bool]


@dataclass
class Search:
    """Says whether a pattern is found anywhere in a name, and always comes to an end.

    Args:
        key: The pattern.
        pattern: The same, compiled.
        work: What all patterns of one call have left to use.
    """

    key: str
    pattern: re.Pattern[str]
    work: Work
    _reader: _Reader = field(init=False)
    _program: "_Program | None" = field(init=False, default=None)
    _known: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = _Reader(self.pattern)

    def _ways(self, length: int) -> float:
        if length not in self._known:
            self._known[length] = (length + 1) * _ways(self._reader.root, length)
        return self._known[length]

    def found_in(self, name: str) -> bool:
        """Whether the pattern matches somewhere in this name.

        Raises:
            MultiplierError: It might take for ever to find out.
        """
        ways = self._ways(len(name))
        if ways <= FEW_WAYS:
            return self.pattern.search(name) is not None
        if ways <= MANY_WAYS and (self.work.seconds > 0 or self._reader.special):
            began = thread_time()
            found = self.pattern.search(name) is not None
            self.work.seconds -= thread_time() - began
            if self.work.seconds > -MOST_SECONDS or not self._reader.special:
                return found
        if self._reader.special is not None:
            raise self._refused(name, f"it has {self._reader.special}")
        if self._program is None:
            self._program = _Program()
            try:
                self._program.add(self._reader.root)
            except OverflowError:
                raise self._refused(name, "its repetitions are too many") from None
        found, steps = self._program.run(name, self.work.steps)
        self.work.steps -= steps
        if self.work.steps <= 0:
            raise self._refused(name, f"all patterns took more than {MOST_STEPS:,} steps")
        return found

    def _refused(self, name: str, why: str) -> MultiplierError:
        return MultiplierError(
            f"The key {shown(self.key, 200)} can match {shown(name, 200)} in so many ways that "
            f"trying them may never end, and {why}. Write it with fewer repetitions, none of them "
            "inside another, or use match='glob'."
        )


class _Program:
    """A pattern as instructions, for following all ways at once."""

    def __init__(self) -> None:
        self.tests: list[re.Pattern[str] | None] = []
        self.is_place: list[bool] = []
        self.targets: list[tuple[int, ...]] = []
        self.known: dict[tuple[int, str], bool] = {}

    def add(self, node: _Node) -> None:
        """Append what matches a node; it goes on at the instruction behind it."""
        match node:
            case _Atom(text, flags, place):
                self._emit(re.compile(text, flags), place)
            case _Sequence(parts):
                for part in parts:
                    self.add(part)
            case _Either(parts):
                self._either(parts)
            case _Repeat(part, low, high):
                for _ in range(low):
                    self.add(part)
                if high >= _UNBOUNDED:
                    fork = self._emit(None)
                    self.add(part)
                    self._emit(None, targets=(fork,))
                    self.targets[fork] = (fork + 1, len(self.tests))
                    return
                forks = []
                for _ in range(high - low):
                    forks.append(self._emit(None))
                    self.add(part)
                for fork in forks:
                    self.targets[fork] = (fork + 1, len(self.tests))

    def _either(self, parts: tuple[_Node, ...]) -> None:
        fork = self._emit(None)
        starts, jumps = [], []
        for part in parts:
            starts.append(len(self.tests))
            self.add(part)
            jumps.append(self._emit(None))
        self.targets[fork] = tuple(starts)
        for jump in jumps:
            self.targets[jump] = (len(self.tests),)

    def _emit(
        self, test: re.Pattern[str] | None, place: bool = False, targets: tuple[int, ...] = ()
    ) -> int:
        if len(self.tests) >= _MOST_INSTRUCTIONS:
            raise OverflowError
        self.tests.append(test)
        self.is_place.append(place)
        self.targets.append(targets)
        return len(self.tests) - 1

    def run(self, name: str, most: int) -> tuple[bool, int]:
        """Whether the pattern is found in a name, and how many steps it took, ``most`` at most."""
        end, steps = len(self.tests), 0
        waiting: set[int] = set()
        for at in range(len(name) + 1):
            ready: list[int] = []
            seen = {0, *waiting}
            stack = list(seen)
            while stack:
                here = stack.pop()
                steps += 1
                if here == end:
                    return True, steps
                for target in self._onward(here, name, at):
                    if target == here:
                        ready.append(here)
                    elif target not in seen:
                        seen.add(target)
                        stack.append(target)
            if steps > most or at == len(name):
                break
            waiting = {here + 1 for here in ready if self._takes(here, name[at])}
        return False, steps

    def _onward(self, here: int, name: str, at: int) -> Iterator[int]:
        """Where an instruction leads without a character; to itself if it needs one."""
        test = self.tests[here]
        if test is None:
            yield from self.targets[here]
        elif not self.is_place[here]:
            yield here
        elif test.match(name, at):
            yield here + 1

    def _takes(self, here: int, character: str) -> bool:
        key = here, character
        if key not in self.known:
            test = self.tests[here]
            self.known[key] = test is not None and test.fullmatch(character) is not None
        return self.known[key]
