"""Names of columns as a client takes them, kept apart."""

import itertools
import unicodedata
from collections.abc import Callable, Iterator


def as_text(name: str) -> str:
    r"""A name that can be encoded: a lone surrogate, as in ``bad\udcff``, is spelled out.

    Examples:
        >>> as_text("bad\udcff"), as_text("")
        ('bad\\udcff', '_')
    """
    return name.encode("utf-8", "backslashreplace").decode() or "_"


def cut(name: str, most: int) -> str:
    """The name, cut to at most ``most`` bytes."""
    return name.encode()[:most].decode("utf-8", "ignore")


class Names:
    """Gives each column a name of its own, the same for as long as it lives.

    Args:
        clean: Makes a name that the client takes.
        most: How many bytes a name may have.
        files: Whether names are paths of files somewhere. Then ``body`` and ``body/kernel`` can't
            be side by side, nor can ``Body`` and ``body``.

    Examples:
        >>> names = Names(lambda name: name.replace("[", "(").replace("]", ")"), files=True)
        >>> [names.of(name) for name in ("block[0]", "block(0)", "body", "body/kernel")]
        ['block(0)', 'block(0)_2', 'body', 'body.kernel']
    """

    def __init__(
        self, clean: Callable[[str], str] = as_text, *, most: int = 10_000, files: bool = False
    ) -> None:
        self._clean, self._most, self._files = clean, most, files
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()
        self._folders: set[str] = set()

    def __contains__(self, column: object) -> bool:
        return column in self._given

    def of(self, column: str) -> str:
        """The name of a column."""
        found = self._given.get(column)
        if found is None:
            found = next(name for name in self._candidates(column) if self._is_free(name))
            self.keep(column, found)
        return found

    def keep(self, column: str, name: str) -> None:
        """Let this be the name of a column."""
        self._given[column] = name
        self._taken.add(self._key(name))
        self._folders.update(_folders(self._key(name)))

    def _candidates(self, column: str) -> Iterator[str]:
        name = self._clean(cut(self._clean(column), self._most))
        yield name
        flat = name.replace("/", ".") if self._files else name
        yield flat
        for number in itertools.count(2):
            for begin in (name, flat):
                yield f"{cut(begin, self._most - 8)}_{number}"

    def _is_free(self, name: str) -> bool:
        key = self._key(name)
        if key in self._taken:
            return False
        inside = any(folder in self._taken for folder in _folders(key))
        return not (self._files and (inside or key in self._folders))

    def _key(self, name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold() if self._files else name


def _folders(path: str) -> list[str]:
    """The folders above a path: ``a`` and ``a/b`` of ``a/b/c``."""
    return [path[:place] for place, letter in enumerate(path) if letter == "/"]
