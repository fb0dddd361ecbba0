"""`import layerwise` is light: NumPy and the standard library, and none of what it works with."""

import os
import subprocess
import sys

import pytest

HEAVY = {
    "flax",
    "hypothesis",
    "jax",
    "jaxlib",
    "keras",
    "matplotlib",
    "optax",
    "pandas",
    "plotly",
    "rich",
    "scipy",
    "sklearn",
    "tensorflow",
    "torch",
    "typer",
}


def heavy_after(statement: str) -> set[str]:
    """The heavy packages that a fresh Python has loaded after the statement."""
    # Coverage tools and the like may load things at start; so look at what the statement adds.
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    return set(done.stdout.split()) & HEAVY


@pytest.mark.parametrize(
    "module",
    [
        "layerwise",
        "layerwise.errors",
        "layerwise.finder",
        "layerwise.multipliers",
        "layerwise.recorder",
        "layerwise.schedules",
    ],
)
def test_a_noun_loads_nothing_heavy(module):
    assert heavy_after(f"import {module}") == set()


def test_using_the_nouns_loads_nothing_heavy():
    statement = (
        "import layerwise, numpy\n"
        "schedule = layerwise.warmup(5) >> layerwise.cosine(10)\n"
        "schedule(3), schedule(numpy.arange(15)), schedule.to_config()\n"
        "from layerwise.multipliers import Parameter, resolve\n"
        "resolve([Parameter('a/kernel')], {'a': schedule}).multipliers(2)"
    )
    assert heavy_after(statement) == set()


@pytest.mark.parametrize("package", ["rich", "typer"])
def test_a_heavy_import_is_caught(package):
    assert package in heavy_after(f"import layerwise, {package}")


def test_a_heavy_import_by_another_module_is_caught():
    assert "jax" in heavy_after("import optax")
