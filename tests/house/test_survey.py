"""The rules of the house hold, and each of them sees what breaks it."""

import ast
from pathlib import Path

import pytest

from tests._support.rooms import LIBRARY, library_files, room_of
from tests.house import survey

FILES = library_files()
NAMES = [str(file.relative_to(LIBRARY)) for file in FILES]
TESTS = sorted((LIBRARY.parents[1] / "tests").rglob("*.py"))


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


# -- circles and doors -------------------------------------------------------------------------


def test_there_is_no_circle_of_imports() -> None:
    assert survey.circles(survey.arrows(survey.library_sources())) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"layerwise.a": "from layerwise.b import x", "layerwise.b": "import layerwise.a"},
        {"layerwise.a": "def f():\n    from layerwise import b", "layerwise.b": "from .a import f"},
        {
            "layerwise.a": "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from layerwise.b import x",
            "layerwise.b": "from layerwise.a import y",
        },
    ],
    ids=["plain", "lazy", "for types"],
)
def test_a_circle_is_seen(sources: dict[str, str]) -> None:
    everything = sources | {"layerwise": ""}
    assert survey.circles(survey.arrows(everything)) == [("layerwise.a", "layerwise.b")]


def test_the_one_door_ties_no_circle() -> None:
    sources = {
        "layerwise": "",
        "layerwise.plan": "from layerwise._show import plot",
        "layerwise._show": "def plot():\n    from layerwise.plan import Plan",
    }
    assert survey.circles(survey.arrows(sources)) == []
    assert survey.circles(survey.arrows(sources), door="") != []


def test_nouns_are_entered_by_their_front_doors() -> None:
    assert survey.side_doors(survey.library_sources()) == []


def test_a_side_door_is_seen() -> None:
    sources = {
        "layerwise.keras": "from layerwise.finder._stop import diverged",
        "layerwise.finder": "from layerwise.finder._stop import diverged",
        "layerwise.finder._stop": "",
    }
    assert survey.side_doors(sources) == ["layerwise.keras enters layerwise.finder._stop"]


# -- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_file_has_room_for_a_second_idea(file: Path) -> None:
    assert survey.code_lines(text_of(file)) <= survey.MOST_LINES


def test_no_test_file_is_a_giant() -> None:
    giants = {
        file.name: lines
        for file in TESTS
        if (lines := survey.code_lines(text_of(file))) > survey.MOST_TEST_LINES
    }
    assert giants == {}


def test_only_code_is_counted() -> None:
    source = (
        '"""A\ndocstring."""\n\n# A comment.\nx = (\n    1,\n)\n\n'
        'def f():\n    "One."\n    s = """a\nb"""\n'
    )
    assert survey.code_lines(source) == 6


def test_no_folder_is_crowded() -> None:
    assert survey.crowded(survey.files_by_folder()) == []


def test_a_crowded_folder_is_seen() -> None:
    folders = {Path("a"): survey.MOST_FILES, Path("b"): survey.MOST_FILES + 1}
    assert survey.crowded(folders) == ["b: 13 files"]


# -- private names of Keras --------------------------------------------------------------------

KERAS = [
    file
    for file in FILES
    if room_of(file) == "keras" and "_internals" not in file.relative_to(LIBRARY).parts
]


@pytest.fixture(scope="module")
def known() -> frozenset[str]:
    return survey.keras_names()


@pytest.mark.parametrize("file", KERAS, ids=[str(file.relative_to(LIBRARY)) for file in KERAS])
def test_keras_private_parts_are_in_internals_alone(file: Path, known: frozenset[str]) -> None:
    assert survey.private_uses(text_of(file), known) == []


@pytest.mark.parametrize(
    "source",
    [
        "from keras.src import backend",
        "import tensorflow as tf\ntf.__internal__.distribute",
        "from tensorflow.python.eager import context",
        "optimizer._learning_rate",
        "getattr(optimizer, '_learning_rate', None)",
        "object.__setattr__(model, '_loss_tracker', 1)",
        "class A(Optimizer):\n    def _backend_update_step(self): ...",
        "class A(Optimizer):\n    def f(self):\n        return self._iterations",
        "class A(Optimizer):\n    def f(self):\n        super()._apply_weight_decay([])",
        "class A(Optimizer):\n    def __reduce__(self):\n        return A._unpickle_model",
    ],
)
def test_a_private_name_is_seen(source: str, known: frozenset[str]) -> None:
    assert len(survey.private_uses(source, known)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import keras\nkeras.optimizers.Adam().learning_rate",
        "class A:\n    def f(self):\n        self._own = 1\n        return self._own",
    ],
)
def test_what_is_public_or_our_own_is_no_fault(source: str, known: frozenset[str]) -> None:
    assert survey.private_uses(source, known) == []


# -- types -------------------------------------------------------------------------------------


def test_any_is_for_what_is_any() -> None:
    found = survey.typed_by_package(FILES)
    assert {room: count for room, count in found.items() if count.share > survey.MOST_ANY} == {}


def test_a_bare_any_is_counted() -> None:
    source = "def f(a: Any, b: int, *c: Any, d: list[Any] = [], e=1) -> Any: ..."
    assert survey.typed(source) == survey.Typed(4, 2)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_public_function_gives_back_any(file: Path) -> None:
    assert list(survey.untyped_returns(text_of(file))) == []


def test_an_untyped_return_is_seen() -> None:
    source = "class A:\n    def f(self) -> Any: ...\n    def _g(self) -> Any: ...\n"
    assert list(survey.untyped_returns(source)) == ["line 2: f"]


# -- words -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_errors_are_in_one_style(file: Path) -> None:
    faults = [
        (line, fault)
        for line, message in survey.messages(text_of(file))
        if (fault := survey.out_of_style(message)) is not None
    ]
    assert faults == []


@pytest.mark.parametrize(
    "source",
    [
        "raise FinderError('low has to be above 0.')",
        "raise FinderError(f'the model {name!r} is not built.')",
        "raise FinderError('Nothing to plot')",
    ],
)
def test_another_style_is_seen(source: str) -> None:
    [(_, message)] = survey.messages(source)
    assert survey.out_of_style(message) is not None


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_docstrings_are_in_one_dialect(file: Path) -> None:
    for node in ast.walk(ast.parse(text_of(file))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            assert survey.foreign_words(ast.get_docstring(node) or "") == []


@pytest.mark.parametrize(
    "docstring",
    ["See :func:`find_lr`.", ".. math:: a", "Example:\n    >>> 1", "It gives `None`."],
)
def test_another_dialect_is_seen(docstring: str) -> None:
    assert survey.foreign_words(docstring) != []
