"""Names as paths: the layers that a parameter lies in."""

from collections.abc import Iterable, Iterator


def layers_of(name: str, separator: str) -> Iterator[str]:
    """The layers that a parameter lies in, the outermost first: ``a`` and ``a/b`` of ``a/b/c``."""
    end = name.find(separator)
    while end > 0:
        yield name[:end]
        end = name.find(separator, end + 1)


def common_start(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts that all paths begin with."""
    known = set(paths)
    if not known:
        return ()
    # What the first and the last in order have in common, all between them have.
    first, last = min(known), max(known)
    same = 0
    while same < len(first) and same < len(last) and first[same] == last[same]:
        same += 1
    return first[:same]
