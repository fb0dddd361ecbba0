"""What is written in two places says the same in both."""

import re
import tomllib

import layerwise
from tests._support.rooms import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def test_the_version_is_the_newest_of_the_changelog():
    headings = re.findall(
        r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert headings[0] == PROJECT["version"] == layerwise.__version__


def test_the_core_needs_numpy_alone():
    assert [re.split(r"\W", need)[0] for need in PROJECT["dependencies"]] == ["numpy"]


def packages(extra):
    """The packages that an extra installs, those of the extras in it too."""
    extras = PROJECT["optional-dependencies"]
    wanted, named = {f"layerwise[{extra}]"}, set()
    while wanted:
        name, inner = re.match(r"([\w-]+)(?:\[(.*)\])?", wanted.pop()).groups()
        if name == "layerwise":
            wanted.update(need for extra in inner.split(",") for need in extras[extra])
        else:
            named.add(name)
    return named


def test_what_the_tests_install_is_pinned():
    named = packages("dev")
    assert {"jax", "keras", "pytest", "tensorflow-cpu", "torch"} <= named
    assert named - set(PINS) == set()


def test_all_is_everything_for_users_but_tensorflow():
    ours = {"all", "demo", "dev", "docs", "oldest", "test", "tensorflow", "tensorflow-cpu"}
    extras = set(PROJECT["optional-dependencies"])
    assert packages("all") == set().union(*(packages(extra) for extra in extras - ours))
    assert {"keras", "torch", "optax", "typer", "matplotlib", "plotly", "wandb"} <= packages("all")


def test_types_are_shipped():
    assert (ROOT / "src" / "layerwise" / "py.typed").is_file()
