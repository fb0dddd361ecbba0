"""Three floors, and an arrow only ever points down."""

import pytest

from tests._support.rooms import (
    ADAPTERS,
    FACADE,
    FACES,
    LIBRARY,
    NOUNS,
    arrows_up,
    library_files,
    room_of,
)

FILES = library_files()
NAMES = [str(file.relative_to(LIBRARY)) for file in FILES]


def test_there_are_files_to_look_at():
    rooms = {room_of(file) for file in FILES}
    assert {FACADE, "errors", "keras", "multipliers", "schedules"} <= rooms


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_every_file_stands_on_a_floor(file):
    assert room_of(file) in NOUNS | set(ADAPTERS) | FACES | {FACADE}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_arrow_points_up(file):
    package = ".".join(["layerwise", *file.relative_to(LIBRARY).parent.parts])
    assert arrows_up(file.read_text(encoding="utf-8"), room_of(file), package) == []


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_file_has_room_for_a_second_idea(file):
    limit = 250 if room_of(file) in ADAPTERS else 300
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= limit


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("schedules", "import jax.numpy as jnp"),
        ("schedules", "def value():\n    import torch"),
        ("schedules", "import typer"),
        ("schedules", "from ..keras import LRMultiplier"),
        ("schedules", "from layerwise import keras"),
        ("schedules", "from layerwise import cosine"),
        ("schedules", "import scipy"),
        ("multipliers", "class Plan:\n    import tensorflow"),
        ("multipliers", "def plot():\n    from layerwise import plots"),
        ("multipliers", "from layerwise import _plan_table"),
        ("keras", "from layerwise import _show"),
        ("multipliers", "async def show():\n    from layerwise.cli import app"),
        ("keras", "from layerwise.torch import param_groups"),
        ("keras", "from ..optax import scale_by_multipliers"),
        ("keras", "from layerwise import demo"),
        ("keras", "import optax"),
        ("torch", "import keras"),
        (FACADE, "from layerwise.keras import LRMultiplier"),
        (FACADE, "import keras"),
    ],
)
def test_an_arrow_up_is_seen(room, source):
    package = "layerwise" if room == FACADE else f"layerwise.{room}"
    assert len(arrows_up(source, room, package)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        (
            "schedules",
            "import math\nimport numpy as np\nfrom layerwise.errors import ScheduleError",
        ),
        ("schedules", "from . import _base\nfrom ._shapes import cosine\nfrom ..errors import X"),
        (
            "multipliers",
            "from layerwise import schedules\nfrom layerwise.schedules import Schedule",
        ),
        ("finder", "from layerwise import _show\nfrom layerwise._show import plan_text"),
        ("multipliers", "def table():\n    from rich.table import Table"),
        ("keras", "import keras\nfrom keras.src import backend\nfrom ..multipliers import resolve"),
        ("keras", "def slices():\n    import tensorflow as tf"),
        ("demo", "import keras\nimport rich\nimport layerwise\nfrom layerwise.keras import x"),
        (FACADE, "from importlib.metadata import version\nfrom layerwise.schedules import cosine"),
    ],
)
def test_an_arrow_down_is_allowed(room, source):
    package = "layerwise" if room in {FACADE, "demo"} else f"layerwise.{room}"
    assert arrows_up(source, room, package) == []
