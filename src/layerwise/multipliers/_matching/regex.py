"""Regular expressions that come to an end.

Python's ``re`` tries one way after another, and ``(a+)+b`` has 2**n ways to match n letters ``a``.
So the structure of a pattern is read first: how many ways it has at most on a name of this length.
If they are few, ``re`` does the work. If they are many, all ways are followed at once, a character
at a time, which takes no more steps than the name has characters times the pattern has parts. What
only ``re`` can do, such as a backreference, is refused where it might not end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import thread_time

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._matching.pattern import (
    UNBOUNDED,
    Atom,
    Either,
    Node,
    Repeat,
    Sequence,
    Structure,
    ways_of,
)

FEW_WAYS = 1e5
"""So many ways take ``re`` less than a thousandth of a second."""

MANY_WAYS = 1e9
"""``re`` is not even tried on more."""

MOST_STEPS = 30_000_000
"""Of all patterns on all names, where the ways are followed at once: about ten seconds."""

MOST_SECONDS = 3.0
"""For ``re`` on patterns with more than a few ways; after that, their ways are followed at once."""

_MOST_INSTRUCTIONS = 5_000


@dataclass
class Work:
    """What the patterns of one call have left to use."""

    steps: int = MOST_STEPS
    seconds: float = MOST_SECONDS


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
    _structure: Structure = field(init=False)
    _program: "Program | None" = field(init=False, default=None)
    _known: dict[int, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._structure = Structure(self.pattern)

    def _ways(self, length: int) -> float:
        if length not in self._known:
            self._known[length] = (length + 1) * ways_of(self._structure.root, length)
        return self._known[length]

    def found_in(self, name: str) -> bool:
        """Whether the pattern matches somewhere in this name.

        Raises:
            MultiplierError: It might take for ever to find out.
        """
        ways = self._ways(len(name))
        if ways <= FEW_WAYS:
            return self.pattern.search(name) is not None
        if ways <= MANY_WAYS and (self.work.seconds > 0 or self._structure.special):
            began = thread_time()
            found = self.pattern.search(name) is not None
            self.work.seconds -= thread_time() - began
            if self.work.seconds > -MOST_SECONDS or not self._structure.special:
                return found
        if self._structure.special is not None:
            raise self._refused(name, f"it has {self._structure.special}")
        if self._program is None:
            self._program = Program()
            try:
                self._program.add(self._structure.root)
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


class Program:
    """A pattern as instructions, for following all ways at once."""

    def __init__(self) -> None:
        self.tests: list[re.Pattern[str] | None] = []
        self.is_place: list[bool] = []
        self.targets: list[tuple[int, ...]] = []
        self.known: dict[tuple[int, str], bool] = {}

    def add(self, node: Node) -> None:
        """Append what matches a node; it goes on at the instruction behind it."""
        match node:
            case Atom(text, flags, place):
                self._emit(re.compile(text, flags), place)
            case Sequence(parts):
                for part in parts:
                    self.add(part)
            case Either(parts):
                self._either(parts)
            case Repeat(part, low, high):
                for _ in range(low):
                    self.add(part)
                if high >= UNBOUNDED:
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

    def _either(self, parts: tuple[Node, ...]) -> None:
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
                for target in self._reachable(here, name, at):
                    if target == here:
                        ready.append(here)
                    elif target not in seen:
                        seen.add(target)
                        stack.append(target)
            if steps > most or at == len(name):
                break
            waiting = {here + 1 for here in ready if self._takes(here, name[at])}
        return False, steps

    def _reachable(self, here: int, name: str, at: int) -> Iterator[int]:
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
