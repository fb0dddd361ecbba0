"""Pictures of what is recorded every few steps only, and of numbers at the ends of floats."""

import numpy as np
import pytest
from matplotlib import pyplot

from layerwise import plots
from layerwise.recorder import History, Recorder
from tests.faces.test_html import tree


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


@pytest.fixture
def sparse(tmp_path):
    """Losses of all steps; a metric and many rates at every tenth one."""

    def rows(groups):
        for step in range(60):
            rates = {str(group): 1e-3 * (step + 1 + group) for group in range(groups)}
            more = {"metrics": {"accuracy": step / 60}, "rates": rates}
            yield {"step": step, "loss": 2 - step / 100} | (more if step % 10 == 0 else {})

    def make(groups=2):
        with Recorder(tmp_path / str(groups)) as recorder:
            recorder.log_many(rows(groups))
        return History.load(tmp_path / str(groups))

    return make


@pytest.mark.parametrize("groups", [2, 20])
def test_a_line_joins_the_values_of_every_tenth_step(sparse, groups):
    ax = plots.history(sparse(groups))
    lines = {line.get_label(): line for each in ax.figure.axes for line in each.lines}
    assert len(lines) == 5
    for name in lines.keys() - {"loss", "each batch"}:
        assert lines[name].get_xdata().tolist() == [0, 10, 20, 30, 40, 50]
        assert np.isfinite(lines[name].get_ydata()).all()


def test_runs_are_compared_by_a_metric_of_every_tenth_step(sparse):
    (line,) = plots.compare([sparse()], column="accuracy").lines
    assert line.get_xdata().tolist() == [0, 10, 20, 30, 40, 50]


def test_a_value_between_two_that_are_no_numbers_is_a_point():
    torn = History({"loss": [1.0, np.nan, 2.0, 3.0, np.inf, 4.0], "step": range(6)})
    (line,) = plots.compare([torn]).lines
    assert (line.get_marker(), line.get_markevery()) == ("o", [0, 5])
    path = tree(torn).findall(".//path")[-1].get("d")
    assert [("h0" in piece) for piece in path.split("M")[1:]] == [True, False, True]


@pytest.mark.parametrize(
    "loss", [[1e308, -1e308, 1e308], [1.7e308, 1.0, 1e-300], [np.inf, 1.0, 2.0]]
)
@pytest.mark.parametrize("draw", [plots.history, lambda run: plots.compare([run, run])])
def test_numbers_at_the_ends_of_floats_are_drawn(tmp_path, loss, draw):
    rates = {"rates/a": [np.inf, 1e308, 1e308], "rates/b": [1e-9] * 3}
    ax = draw(History({"step": [0, 1, 2], "loss": loss, "accuracy": loss} | rates, name="ends"))
    ax.figure.savefig(tmp_path / "ends.png")  # a warning is an error
    ends = np.concatenate([line.get_ydata() for line in ax.lines])
    assert np.nanmax(np.abs(ends[np.isfinite(ends)])) <= 1e150
