"""The check of a release sees what would be missing in it, and what should not be there."""

from email.message import Message

import pytest

from tests import check_release
from tests.check_release import (
    FRAMEWORKS,
    IN_SDIST,
    IN_WHEEL,
    ROOT,
    link_faults,
    metadata_faults,
    sdist_faults,
    wheel_faults,
)

WHEEL = (*IN_WHEEL, "layerwise-1.0.dist-info/METADATA", "layerwise-1.0.dist-info/licenses/LICENSE")
SDIST = ("layerwise-1.0", *(f"layerwise-1.0/{name}" for name in IN_SDIST))
PROJECT = {
    "name": "layerwise",
    "version": "1.0",
    "description": "Rates.",
    "requires-python": ">=3.11",
    "license": "MIT",
}


def metadata(**changed):
    message = Message()
    for field, value in {
        "Name": "layerwise",
        "Version": "1.0",
        "Summary": "Rates.",
        "Requires-Python": ">=3.11",
        "License-Expression": "MIT",
        "Description-Content-Type": "text/markdown",
    }.items():
        message[field] = changed.get(field, value)
    return message


def test_a_release_that_is_whole_has_no_faults():
    assert wheel_faults(WHEEL) == []
    assert sdist_faults(SDIST) == []
    assert metadata_faults(metadata(), PROJECT) == []


@pytest.mark.parametrize("name", IN_WHEEL)
def test_a_file_that_the_wheel_lacks_is_named(name):
    assert wheel_faults([n for n in WHEEL if n != name]) == [f"the wheel lacks {name}"]


def test_a_wheel_has_the_license_and_nothing_from_outside_the_package():
    assert wheel_faults(WHEEL[:-1]) == ["the wheel lacks the license"]
    assert wheel_faults([*WHEEL, "tests/conftest.py"]) == ["the wheel has tests/conftest.py"]


@pytest.mark.parametrize("name", IN_SDIST)
def test_a_file_that_the_sdist_lacks_is_named(name):
    assert sdist_faults([n for n in SDIST if not n.endswith(f"1.0/{name}")]) == [
        f"the sdist lacks {name}"
    ]


@pytest.mark.parametrize("name", ["build/site/index.html", "tests/__pycache__/a.pyc"])
def test_what_was_built_is_not_shipped(name):
    assert sdist_faults([*SDIST, f"layerwise-1.0/{name}"]) == [f"the sdist has {name}"]


def test_metadata_that_says_something_else_is_named():
    assert metadata_faults(metadata(Version="0.9"), PROJECT) == [
        "Version is '0.9', and must be '1.0'"
    ]


def test_a_link_that_leads_nowhere_on_an_index_is_named():
    told = metadata()
    told["Project-URL"] = "Source, https://x.y/z"
    told.set_payload("[a](https://x.y/z/a.md), [b](#here), ![c\nd](docs/c.png)")
    assert link_faults(told, "https://x.y/z") == [
        "the README on the index would link to docs/c.png"
    ]
    assert link_faults(told, "") == []
    told.set_payload("[a](https://x.y/z/a.md)")
    assert link_faults(told, "https://x.y/z") == []
    assert link_faults(told, "https://x.y/other") == ["no Project-URL has https://x.y/other"]


def test_every_block_of_the_readme_is_tried_with_a_framework():
    blocks = check_release.blocks_of((ROOT / "README.md").read_text(encoding="utf-8"))
    tried = [heading for framework in FRAMEWORKS.values() for heading in framework.headings]
    assert sorted(tried) == sorted(blocks)
    for block in blocks.values():
        compile(block, "block.py", "exec")
        assert "import" in block


@pytest.mark.parametrize("names", [[], ["a.whl"], ["a.whl", "b.whl", "a.tar.gz"]])
def test_a_folder_has_one_wheel_and_one_sdist(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match="must have one wheel and one sdist"):
        check_release.built_files(tmp_path)


def test_a_command_that_fails_ends_the_check(tmp_path, capfd):
    with pytest.raises(SystemExit) as ended:
        check_release.run([check_release.sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
    assert ended.value.code == 3
    assert "status 3" in capfd.readouterr().err


def test_the_sources_are_kept_out_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    code = "import os; raise SystemExit('PYTHONPATH' in os.environ)"
    check_release.run([check_release.sys.executable, "-c", code], tmp_path)
