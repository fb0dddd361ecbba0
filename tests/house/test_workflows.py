"""What the workflows run is there, and the scripts that only they run do what they say."""

import os
import re
import shutil
import subprocess

import pytest
import yaml

from tests._support.rooms import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the workflows run these on Linux")


def commands(workflow):
    data = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return [
        line
        for job in data["jobs"].values()
        for step in job["steps"]
        for line in step.get("run", "").splitlines()
    ]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_what_a_workflow_runs_is_there(workflow):
    targets = re.findall(r"^([\w -]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    known = {target for line in targets for target in line.split()}
    ours = [line for line in commands(workflow) if re.match(r"make |\.ci/|python tests/", line)]
    assert ours
    for line in ours:
        first, second = [*line.split(), ""][:2]
        if first == "make":
            assert second in known, line
        else:
            script = ROOT / (second if first == "python" else first)
            assert script.is_file(), line
            assert first == "python" or os.access(script, os.X_OK), line


def repository(folder, *scripts):
    (folder / ".ci").mkdir()
    for script in scripts:
        shutil.copy2(ROOT / ".ci" / script, folder / ".ci")
    return folder


def run(folder, *command):
    return subprocess.run(
        list(command),
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            **{f"GIT_{who}_NAME": "someone" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "a@b.c" for who in ("AUTHOR", "COMMITTER")},
        },
        capture_output=True,
        text=True,
        check=False,
    )


FILES = {
    "pyproject.toml": 'name = "x"\nversion = "0.2.0"\n',
    "CHANGELOG.md": "## [0.2.0] - 2026-01-31\n\n## [0.1.0] - 2025-01-31\n",
    "CITATION.cff": "version: 0.2.0\n",
}


@pytest.mark.parametrize(
    ("tag", "changed", "said"),
    [
        ("v0.2.0", {}, None),
        ("0.2.0", {}, "The tag must be v"),
        ("v0.1.0", {}, "The tag must be v"),
        ("v0.2.0", {"CHANGELOG.md": "## [0.2.0] - Unreleased\n"}, "CHANGELOG.md must have"),
        ("v0.2.0", {"CITATION.cff": "version: 0.1.0\n"}, "CITATION.cff must have"),
    ],
)
def test_a_tag_is_the_version_everywhere(tmp_path, tag, changed, said):
    folder = repository(tmp_path, "tag-is-version")
    for name, text in (FILES | changed).items():
        (folder / name).write_text(text, encoding="utf-8")
    done = run(folder, ".ci/tag-is-version", tag)
    assert done.returncode == (said is not None), done.stderr
    assert (said or "") in done.stderr


@pytest.mark.parametrize(
    ("file", "text", "moved"),
    [
        ("CHANGELOG.md", "# Changelog\n- One.\n- Two.\n", True),
        ("CHANGELOG.md", "# Changelog\n", False),  # a line is gone, and none is new
        ("other.md", "More.\n", False),
    ],
)
def test_a_changelog_that_did_not_move_is_seen(tmp_path, file, text, moved):
    folder = repository(tmp_path, "changelog-moved")
    (folder / "CHANGELOG.md").write_text("# Changelog\n- One.\n", encoding="utf-8")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        assert run(folder, "git", *command).returncode == 0
    base = run(folder, "git", "rev-parse", "HEAD").stdout.strip()
    (folder / file).write_text(text, encoding="utf-8")
    assert run(folder, "git", "add", ".").returncode == 0
    assert run(folder, "git", "commit", "-qm", "second").returncode == 0
    done = run(folder, ".ci/changelog-moved", base)
    assert done.returncode == (not moved), done.stderr
    assert ("no changelog" in done.stderr) is not moved
