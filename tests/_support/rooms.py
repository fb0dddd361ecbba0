"""Which file of the library may import what, read from its syntax tree without running it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "src" / "layerwise"

NOUNS = {
    "_checks",
    "_files",
    "_numbers",
    "_series",
    "_text",
    "_unfolded",
    "errors",
    "finder",
    "multipliers",
    "recorder",
    "schedules",
}
# Beside the nouns an adapter has its framework, and Keras' also the backends under Keras.
ADAPTERS = {
    "keras": {"keras", "jax", "tensorflow", "torch"},
    "optax": {"optax", "jax"},
    "torch": {"torch", "lightning", "transformers"},  # each in the one file of its name
}
FACES = {
    "_html",
    "_plan_table",
    "_rates_table",
    "_rates_shown",
    "_show",
    "cli",
    "demo",
    "plots",
    "report",
}
FACADE = "__init__"

# What a noun may show itself with. That these are loaded only when something is shown,
# test_purity.py proves by running it.
SHOWING = {"matplotlib", "pandas", "plotly", "rich"}
# Nouns reach what is upstairs by this module only, which alone looks up: a value that can show
# itself asks it to.
DOOR = "layerwise._show"
# The clients of a recorder's sinks, each loaded by the sink that is made.
SINKS = {"mlflow", "tensorboardX", "wandb"}
PURE = set(sys.stdlib_module_names) | {"numpy"} | SHOWING


@dataclass(frozen=True)
class Import:
    """An imported module by its full name."""

    module: str
    line: int


def library_files() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def room_of(file: Path) -> str:
    """The first name below `layerwise`: a package, or a module's own name."""
    first = file.relative_to(LIBRARY).parts[0]
    return first.removesuffix(".py")


def imports_in(source: str, package: str) -> Iterator[Import]:
    """Every import of a source text whose relative imports start from `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            # `from layerwise import schedules` reaches into the room, not into the façade.
            rooms = NOUNS | set(ADAPTERS) | FACES
            names = [
                f"{base}.{alias.name}" if base == "layerwise" and alias.name in rooms else base
                for alias in node.names
            ]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno)


def may_import(room: str, found: Import) -> bool:
    """Whether an arrow from this room to that module points down."""
    top, _, below = found.module.partition(".")
    target = below.partition(".")[0]
    if room in NOUNS and found.module == DOOR:
        return True
    if top == "layerwise":
        if room in NOUNS or room == FACADE:
            return target in NOUNS
        if room in ADAPTERS:
            return target in NOUNS | {room}
        return target in NOUNS | set(ADAPTERS) | FACES | {""}
    if room == "recorder" and top in SINKS:
        return True
    return top in PURE or top in ADAPTERS.get(room, set()) or room in FACES


def arrows_up(source: str, room: str, package: str) -> list[str]:
    """The imports of a source text that its room forbids, each with its line."""
    return [
        f"line {found.line}: {room} imports {found.module}"
        for found in imports_in(source, package)
        if not may_import(room, found)
    ]
