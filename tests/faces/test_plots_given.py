"""Pictures of what is odd: axes that are none, lone points, a validation among the batches."""

import numpy as np
import pytest
from matplotlib import pyplot

from layerwise import LayerwiseError, cosine, plots
from layerwise.recorder import History
from tests._support.rates import FINDINGS
from tests.faces.test_plots import SCHEDULE, found, plan, run


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.compare([run()], ax),
        lambda ax: plots.history(run(), ax),
        lambda ax: plots.finding(found(), ax),
        lambda ax: plots.rates(FINDINGS["one rate"], ax),
        lambda ax: plots.rates_heat_map(FINDINGS["one rate"], ax),
        lambda ax: plots.schedule(SCHEDULE, 10, ax),
        lambda ax: plots.plan(plan(), 10, ax),
        lambda ax: plots.heat_map(plan(), 10, ax),
    ],
)
@pytest.mark.parametrize("ax", ["acc", 3, False, ()])
def test_what_are_no_axes_is_said(draw, ax):
    with pytest.raises(LayerwiseError, match="must be Axes of Matplotlib"):
        draw(ax)


def test_a_schedule_is_drawn_on_logarithmic_axes():
    ax = pyplot.figure().subplots()
    ax.set_yscale("log")
    plots.schedule(cosine(10, end=0.01), ax=ax)
    low, high = ax.get_ylim()
    assert 0.001 < low < 0.01
    assert 1 < high < 10


def test_a_validation_among_the_batches_is_drawn():
    step = np.arange(100)
    every = np.where(step % 25 == 24, 1.0, np.nan)
    history = History({"step": step, "loss": 1 + 0 * step, "val_loss": every, "val_f1": every})
    ax = plots.history(history)
    drawn = {str(line.get_label()): line.get_xdata() for line in ax.lines}
    assert {"val_loss", "val_f1"} <= set(drawn)
    assert drawn["val_loss"].tolist() == drawn["val_f1"].tolist() == [24, 49, 74, 99]


@pytest.mark.parametrize("kind", ["batch", "epoch"])
def test_a_lone_point_is_a_marker(kind):
    columns = {"step": [0], "epoch": [0], "loss": [2.0], "f1": [1.0], "rate": [0.1]}
    history = History(**{kind: columns})
    drawn = [
        line
        for ax in (plots.history(history), plots.compare([history]))
        for each in ax.figure.axes
        for line in each.lines
        if line.get_label() != "each batch"
    ]
    assert len(drawn) == 4
    assert all(line.get_marker() == "o" for line in drawn)
