"""The runner of the tests: a failure, a crash or a forgotten folder never looks like a pass."""

import os

import pytest

from tests.run_legs import LEGS, Leg, Outcome, counts_of, environment, faults, main

LEG = Leg("one", "jax", ("tests/one",))


@pytest.mark.parametrize(
    ("closing", "expected"),
    [
        ("7 passed in 0.10s", {"passed": 7}),
        (
            "1 failed, 12 passed, 3 skipped in 65.01s (0:01:05)",
            {"failed": 1, "passed": 12, "skipped": 3},
        ),
        ("2 passed, 2 errors in 0.50s", {"passed": 2, "error": 2}),
        ("Fatal Python error: Aborted", {}),
    ],
)
def test_the_closing_line_is_counted(closing, expected):
    assert dict(counts_of(f"9 failed, says an earlier line\n{closing}\n")) == expected


def test_no_output_has_no_counts():
    assert counts_of("") == {}


def test_failures_and_errors_both_count():
    outcome = Outcome(LEG, 1, "", counts_of("2 failed, 5 passed, 1 error in 1s"))
    assert outcome.failed == 3


def test_a_crash_without_a_closing_line_is_a_failure():
    assert Outcome(LEG, -11, "Segmentation fault").failed == 1


def test_every_folder_is_in_a_leg_and_every_path_is_there():
    assert faults(LEGS) == []


def test_a_missing_path_and_a_stray_folder_are_faults(tmp_path):
    for name in ("one", "two/deep"):
        folder = tmp_path / "tests" / name
        folder.mkdir(parents=True)
        (folder / "test_it.py").touch()
    (tmp_path / "tests" / "test_top.py").touch()
    assert faults([LEG], tmp_path) == [
        "tests/test_top.py is in no leg of tests/run_legs.py",
        "tests/two is in no leg of tests/run_legs.py",
    ]
    (tmp_path / "tests" / "test_top.py").unlink()
    gone = Leg("gone", "jax", ("tests/one", "tests/two", "tests/three"))
    assert faults([gone], tmp_path) == ["leg gone: there is no tests/three"]


def test_an_unknown_leg_stops_the_run(capsys):
    assert main(["nonsense"]) == 1
    assert "there is no leg nonsense" in capsys.readouterr().out


def test_a_leg_has_its_backend_and_keeps_what_the_user_set(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    leg = environment(LEG, threads=2)
    assert leg["KERAS_BACKEND"] == "jax"
    assert leg["OMP_NUM_THREADS"] == "7"
    assert leg["MKL_NUM_THREADS"] == "2"
    assert leg["PATH"] == os.environ["PATH"]


def test_each_keras_backend_has_a_leg():
    assert {leg.backend for leg in LEGS if "tests/keras" in leg.paths} == {
        "jax",
        "tensorflow",
        "torch",
    }
