"""The rules of the house, read from syntax trees alone: circles, sizes, private names, types.

``python -m tests.house.survey`` prints the figures by package, and everything that is wrong.
"""

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests._support.rooms import DOOR, LIBRARY, library_files, room_of

MOST_LINES = 250  # of code in a file
MOST_FILES = 12  # in a folder
MOST_TEST_LINES = 400
MOST_ANY = 0.08  # of all annotated parameters


# -- sizes -------------------------------------------------------------------------------------


def code_lines(source: str) -> int:
    """The lines of a source text without docstrings, comments and blank lines."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
                documented |= set(range(first.lineno, (first.end_lineno or 0) + 1))
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def crowded(folders: Mapping[Path, int]) -> list[str]:
    """The folders with too many files."""
    return [f"{folder}: {count} files" for folder, count in folders.items() if count > MOST_FILES]


def files_by_folder(root: Path = LIBRARY) -> Counter[Path]:
    """How many Python files each folder has."""
    return Counter(file.parent for file in root.rglob("*.py"))


# -- circles -----------------------------------------------------------------------------------


def module_name(file: Path, root: Path = LIBRARY) -> str:
    """The full name of a module."""
    parts = [root.name, *file.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Who imports whom among these modules, imports in functions and for types included.

    ``from package import name`` is an arrow to the module ``package.name`` where there is one, and
    to the package itself elsewhere.
    """
    found: dict[str, set[str]] = {name: set() for name in sources}
    for name, source in sources.items():
        package = name if _is_package(name, sources) else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(source)):
            targets: list[str] = []
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = package.split(".")
                    above = above[: len(above) - node.level + 1]
                    base = ".".join([*above, *filter(None, [node.module])])
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    targets.append(inner if inner in sources else base)
            found[name] |= {target for target in targets if target in sources and target != name}
    return found


def _is_package(name: str, sources: Mapping[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in sources)


def circles(edges: Mapping[str, set[str]], door: str = DOOR) -> list[tuple[str, ...]]:
    """The groups of modules that import each other, the arrows of the one door left out."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[tuple[str, ...]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(() if node == door else edges[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            place = stack.index(node)
            group = tuple(sorted(stack[place:]))
            del stack[place:]
            if len(group) > 1:
                found.append(group)

    for node in edges:
        if node not in index:
            visit(node)
    return found


def library_sources() -> dict[str, str]:
    """Every module of the library with its text."""
    return {module_name(file): file.read_text(encoding="utf-8") for file in library_files()}


# -- nouns are entered by their front door -----------------------------------------------------


def side_doors(sources: Mapping[str, str]) -> list[str]:
    """Imports of a noun's private modules from outside of it."""
    nouns = ("finder", "multipliers", "recorder", "schedules")
    wrong = []
    for name, targets in arrows(sources).items():
        for target in sorted(targets):
            parts = target.split(".")
            private = any(part.startswith("_") for part in parts[2:])
            inside = name.split(".")[1:2] == parts[1:2]
            if len(parts) > 2 and parts[1] in nouns and private and not inside:
                wrong.append(f"{name} enters {target}")
    return wrong


# -- private names of Keras --------------------------------------------------------------------


FOLDERS = (
    "backend",
    "callbacks",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "saving",
    "trainers",
)
"""The folders of Keras' source whose classes Layerwise works with."""


def keras_names() -> frozenset[str]:
    """Every underscored attribute that Keras' own classes define or set, read from its source."""
    spec = find_spec("keras")
    assert spec is not None
    assert spec.origin is not None
    found: set[str] = set()
    for folder in FOLDERS:
        for file in (Path(spec.origin).parent / "src" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
    return frozenset(name for name in found if is_private(name))


def is_private(name: str) -> bool:
    """Whether a name has one underscore in front."""
    return name.startswith("_") and not name.startswith("__")


def private_uses(source: str, known: Iterable[str]) -> list[str]:
    """Where a source text touches what is private to Keras.

    That is ``keras.src``, ``tf.__internal__`` and ``tensorflow.python``; any underscored attribute
    of something other than ``self`` or ``cls``, by a dot or by name (``getattr``, ``hasattr``,
    ``setattr``, ``vars``); and, on ``self``, ``cls`` and ``super()`` and as a method of one's own,
    the names that Keras has.
    """
    known, wrong = set(known), []
    tree = ast.parse(source)
    made_here = {
        target.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for target in (target.elts if isinstance(target, ast.Tuple) else [target])
        if isinstance(target, ast.Attribute) and is_private(target.attr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(n.startswith(("keras.src", "tensorflow.python")) for n in names):
                wrong.append(f"line {node.lineno}: imports {names}")
        elif isinstance(node, ast.Attribute) and node.attr == "__internal__":
            wrong.append(f"line {node.lineno}: tf.__internal__")
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            above = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
            if (own or above) and (node.attr in made_here or node.attr not in known):
                continue
            if not (own or above) and node.attr not in known:
                continue  # private to Layerwise: one of its own classes
            wrong.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "getattr",
            "hasattr",
            "setattr",
            "object.__setattr__",
            "object.__delattr__",
        ):
            name = node.args[1] if len(node.args) > 1 else None
            if isinstance(name, ast.Constant) and name.value in known:
                wrong.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name in known and node.bases:
                    wrong.append(f"line {item.lineno}: defines {item.name}")
    return wrong


# -- types -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """The annotated parameters of some functions: how many, and how many of them are bare."""

    parameters: int = 0
    bare: int = 0

    def __add__(self, other: "Typed") -> "Typed":
        return Typed(self.parameters + other.parameters, self.bare + other.bare)

    @property
    def share(self) -> float:
        """The share that is bare."""
        return self.bare / self.parameters if self.parameters else 0.0


def typed(source: str) -> Typed:
    """Counts a text's annotated parameters, and those whose annotation is ``Any``."""
    found = Typed()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = node.args
            known = [*every.posonlyargs, *every.args, *every.kwonlyargs]
            for argument in [*known, every.vararg, every.kwarg]:
                if argument is not None and argument.annotation is not None:
                    text = ast.unparse(argument.annotation).strip("'\"")
                    found += Typed(1, int(text in ("Any", "Any | None", "Optional[Any]")))
    return found


def typed_by_package(files: Iterable[Path]) -> dict[str, Typed]:
    """The counts of each package, and of all together."""
    found: dict[str, Typed] = {}
    for file in files:
        count = typed(file.read_text(encoding="utf-8"))
        for key in (room_of(file), "all"):
            found[key] = found.get(key, Typed()) + count
    return found


def untyped_returns(source: str) -> Iterator[str]:
    """The public functions and methods that give back ``Any``."""
    for node in ast.parse(source).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        if isinstance(node, ast.ClassDef) and node.name.startswith("_"):
            continue
        for item in inner:
            public = isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
            if public and item.returns is not None and ast.unparse(item.returns) == "Any":
                yield f"line {item.lineno}: {item.name}"


# -- errors ------------------------------------------------------------------------------------


def messages(source: str) -> Iterator[tuple[int, str]]:
    """The texts of the errors that a source raises; what is put into them stands as ``{}``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and node.args:
            text = _text(node.args[0])
            if text is not None:
                yield node.lineno, text


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
        return "".join(map(str, parts))
    return None


def out_of_style(message: str) -> str | None:
    """What is wrong with an error's message, if anything.

    It is one or more sentences: the first letter is a capital, unless the first word is code, such
    as an argument (``steps must be ...``, ``low=-1.0 must be ...``, ``cosine: ...``); it says
    "must" and never "has to"; and it ends with a full stop.
    """
    first = message.split(maxsplit=1)[0] if message.split() else ""
    if "has to" in message or "have to" in message:
        return "says 'has to': say 'must'"
    if not message.rstrip().endswith((".", "{}", ":", ")")):
        return "does not end with a full stop"
    code = any(letter in first for letter in "_=.(:{`'\"[")
    plain_words = {"a", "an", "the", "there", "this", "these", "which", "one", "of", "two", "only"}
    if first[:1].islower() and not code and first.lower() in plain_words:
        return f"begins in lower case: {first!r}"
    return None


_FOREIGN = re.compile(
    r":[a-z]+:`|^ *\.\. \w+::|^ *(?:Example|Reference):$|(?<!`)`[^`\n]+`(?!`)", re.M
)


def foreign_words(docstring: str) -> list[str]:
    """What a docstring has of another dialect than ours.

    Ours is Google's style in Markdown: code in double backticks, formulas in dollars, "Examples:"
    and "Source:"; no roles or directives of Sphinx.
    """
    return _FOREIGN.findall(docstring)


def main() -> int:
    """Print the figures, and what is wrong."""
    files, sources = library_files(), library_sources()
    lines: Counter[str] = Counter()
    for file in files:
        lines[room_of(file)] += code_lines(file.read_text(encoding="utf-8"))
    types = typed_by_package(files)
    print(f"{'package':12} {'code lines':>10} {'parameters':>10} {'bare Any':>9}")
    for room in sorted(lines):
        kind = types.get(room, Typed())
        print(f"{room:12} {lines[room]:10} {kind.parameters:10} {kind.share:9.1%}")
    print(f"{'all':12} {lines.total():10} {types['all'].parameters:10} {types['all'].share:9.1%}")
    wrong = [f"circle: {', '.join(group)}" for group in circles(arrows(sources))]
    wrong += side_doors(sources)
    wrong += crowded(files_by_folder())
    known = keras_names()
    for file in files:
        text, name = file.read_text(encoding="utf-8"), file.relative_to(LIBRARY)
        if code_lines(text) > MOST_LINES:
            wrong.append(f"{name}: {code_lines(text)} lines of code")
        if name.parts[0] == "keras" and "_internals" not in name.parts:
            wrong += [f"{name}: {use}" for use in private_uses(text, known)]
        wrong += [f"{name}: {found} gives back Any" for found in untyped_returns(text)]
        for line, message in messages(text):
            if (fault := out_of_style(message)) is not None:
                wrong.append(f"{name}: line {line}: an error's message {fault}")
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
