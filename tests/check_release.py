"""Builds what a release uploads, and tries it as a user would: from the files, without the sources.

    python tests/check_release.py                        build, check, install, try
    python tests/check_release.py --dist dist            try files that are already built
    python tests/check_release.py --dist dist --framework torch

`make release-check` calls this. All it makes is in build/release/, environments too.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "tests" / "_scripts"
WORK = ROOT / "build" / "release"
CONSTRAINTS = ("-c", str(ROOT / "constraints.txt"))
TOOLS = ("build", "twine")


@dataclass(frozen=True)
class Framework:
    """What is tried with a framework: the extras it needs, a script, and blocks of the README."""

    extras: str
    script: str
    headings: tuple[str, ...]
    beside: tuple[str, ...] = ()


FRAMEWORKS = {
    "jax": Framework("cli,jax,keras,optax", "smoke_keras.py", ("Keras", "Optax")),
    "torch": Framework("cli,torch", "smoke_torch.py", ("PyTorch", "Which rate"), ("scikit-learn",)),
}

IN_WHEEL = ("layerwise/py.typed", "layerwise/keras/layers.pyi", "layerwise/cli/__main__.py")
IN_SDIST = (
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "constraints.txt",
    "docs/index.md",
    "pyproject.toml",
    "src/layerwise/__init__.py",
    "tests/run_legs.py",
)
NOT_SHIPPED = (".venv/", "__pycache__/", "build/", "runs/", ".git/")


def wheel_faults(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of a wheel's files."""
    stray = [
        name for name in names if not name.startswith("layerwise/") and ".dist-info/" not in name
    ]
    missing = [f"the wheel lacks {name}" for name in IN_WHEEL if name not in names]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        missing.append("the wheel lacks the license")
    return [*missing, *(f"the wheel has {name}" for name in stray)]


def sdist_faults(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of an sdist's files."""
    inside = [name.partition("/")[2] for name in names]
    missing = [f"the sdist lacks {name}" for name in IN_SDIST if name not in inside]
    stray = [name for name in inside if any(f"/{part}" in f"/{name}" for part in NOT_SHIPPED)]
    return [*missing, *(f"the sdist has {name}" for name in stray)]


def metadata_faults(metadata: Message, project: dict[str, object]) -> list[str]:
    """Where the metadata of a wheel says something else than pyproject.toml."""
    told = {
        "Name": project["name"],
        "Version": project["version"],
        "Summary": project["description"],
        "Requires-Python": project["requires-python"],
        "License-Expression": project["license"],
        "Description-Content-Type": "text/markdown",
    }
    return [
        f"{field} is {metadata[field]!r}, and must be {wanted!r}"
        for field, wanted in told.items()
        if metadata[field] != wanted
    ]


def link_faults(metadata: Message, home: str) -> list[str]:
    """Links of the README that lead nowhere on an index, if the project's address is known."""
    if not home:
        return []
    found = re.findall(r"\]\((?!#|[a-z]+:)([^)\s]+)\)", str(metadata.get_payload()))
    faults = [f"the README on the index would link to {link}" for link in found]
    urls = metadata.get_all("Project-URL") or []
    return faults if any(home in url for url in urls) else [*faults, f"no Project-URL has {home}"]


def blocks_of(readme: str) -> dict[str, str]:
    """The README's first block of Python under each heading."""
    sections = re.split(r"^## (.+)$", readme, flags=re.MULTILINE)[1:]
    blocks = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {heading: found[1] for heading, text in pairs if (found := blocks.search(text))}


def built_files(folder: Path) -> tuple[Path, Path]:
    """The one wheel and the one sdist in a folder.

    Raises:
        SystemExit: There is another number of them.
    """
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    if len(wheels) != 1 or len(sdists) != 1:
        sys.exit(f"{folder} must have one wheel and one sdist, got {len(wheels)} and {len(sdists)}")
    return wheels[0], sdists[0]


def faults_of(wheel: Path, sdist: Path) -> list[str]:
    """What is wrong with the two files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [place] = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(place).decode("utf-8"))
    with tarfile.open(sdist) as packed:
        inside = packed.getnames()
    faults = wheel_faults(names) + sdist_faults(inside) + metadata_faults(metadata, project)
    return faults + link_faults(metadata, os.environ.get("LAYERWISE_HOME", "").rstrip("/"))


def run(command: Iterable[object], cwd: Path = ROOT, **variables: str) -> None:
    """Run a command to its end, or end with its status."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=cwd,
        env=_plain_environment() | variables,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        print(f"{' '.join(words)} ended with status {done.returncode}", file=sys.stderr)
        sys.exit(done.returncode)


def _plain_environment() -> dict[str, str]:
    """The environment without what would let the sources in."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}


def python_in(folder: Path) -> Path:
    """A new environment's Python."""
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def empty_folder(name: str) -> Path:
    """A new folder to work in."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def install(python: Path, *what: object) -> None:
    """Install packages, in the versions of constraints.txt."""
    pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    run([*pip, *CONSTRAINTS, *what])


def build() -> Path:
    """Build the sdist, and the wheel from it; returns their folder."""
    tools, dist = python_in(WORK / "tools"), WORK / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    install(tools, *TOOLS)
    # From the sdist, so that one that lacks a file fails here.
    run([tools, "-m", "build", "--outdir", dist, ROOT])
    run([tools, "-m", "twine", "check", "--strict", *built_files(dist)])
    return dist


def smoke(wheel: Path, framework: str) -> None:
    """Try a wheel: the nouns in an empty environment, the command, a framework, the README."""
    python, empty = python_in(WORK / "empty"), empty_folder("folder")
    chosen = FRAMEWORKS[framework]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": framework}
    # -I keeps the folders of the sources off the path.
    install(python, wheel)
    run([python, "-I", "-W", "error", SCRIPTS / "smoke_nouns.py"], cwd=empty)
    install(python, f"{wheel}[{chosen.extras}]", *chosen.beside)
    run([python, "-I", SCRIPTS / "smoke_command.py"], cwd=empty, **quiet)
    run([python, "-I", SCRIPTS / chosen.script], cwd=empty, **quiet)
    blocks = blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    for number, heading in enumerate(chosen.headings):
        folder = empty_folder(f"readme-{number}")
        (folder / "block.py").write_text(blocks[heading], encoding="utf-8")
        run([python, "-I", "block.py"], cwd=folder, **quiet)
    run([python, "-m", "pip", "check"], cwd=empty)


def main(arguments: Sequence[str]) -> int:
    """Check a release; 0 if nothing is wrong with it."""
    parser = argparse.ArgumentParser(description="Build a release, check it and try it.")
    parser.add_argument("--dist", type=Path, help="a folder with a wheel and an sdist to try")
    parser.add_argument("--framework", choices=sorted(FRAMEWORKS), default="jax")
    options = parser.parse_args(arguments)
    wheel, sdist = built_files(options.dist.resolve() if options.dist else build())
    faults = faults_of(wheel, sdist)
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    smoke(wheel, options.framework)
    print(f"{wheel.name} and {sdist.name} can be released")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
