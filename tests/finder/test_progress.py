"""Lines where there is no terminal: the estimate comes first, then one every few seconds."""

import io

import pytest

from layerwise.finder import ProgressLines, QuadraticTrainer, search, tracked
from layerwise.finder import _progress as progress


def written(seconds, total=100, number=1):
    """What is written when these are the times of the start and of each step."""
    times, page = iter(seconds), io.StringIO()
    lines = ProgressLines("training", total, page, lambda: next(times))
    for _ in seconds[1:]:
        lines.advance(number)
    return page.getvalue().splitlines()


def test_what_is_short_writes_nothing():
    assert written([0.0, 0.5, 1.0, 1.9]) == []


def test_the_estimate_comes_first_and_a_line_every_ten_seconds():
    assert written([0.0, *map(float, range(1, 26))]) == [
        "training: 2 of 100, about 2 min at most",
        "training: 12 of 100, 88 s left at most",
        "training: 22 of 100, 78 s left at most",
    ]


@pytest.mark.parametrize(
    ("total", "left"), [(3, "2 s"), (42, "80 s"), (302, "10 min"), (7202, "4.0 h")]
)
def test_the_time_left_is_short_to_read(total, left):
    assert written([0.0, 1.0, 4.0], total) == [f"training: 2 of {total:,}, about {left} at most"]


def test_the_last_line_says_that_it_is_done():
    assert written([0.0, 1.0, 4.0], 2) == ["training: 2 of 2, done after 4 s"]


def test_a_step_may_say_what_it_is():
    page, times = io.StringIO(), iter([0.0, 3.0])
    ProgressLines("starting", 9, page, lambda: next(times)).advance(3, "pretraining")
    assert page.getvalue() == "pretraining: 3 of 9, about 6 s at most\n"


def test_a_search_off_a_terminal_writes_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST", 0.0)
    search(QuadraticTrainer(), range(500))
    err = capsys.readouterr().err
    assert err.startswith("Finding a learning rate: 1 of ")
    search(QuadraticTrainer(), range(500), progress=False)
    assert capsys.readouterr().err == ""


def test_a_loop_off_a_terminal_writes_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST", 0.0)
    assert list(tracked(range(3), "rounds")) == [0, 1, 2]
    assert capsys.readouterr().err.startswith("rounds: 1 of 3, about ")
