"""Pictures of rates that were found: bars as long as the multipliers, and each probe in a cell."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.collections import PatchCollection

from layerwise import LayerwiseError, plots
from layerwise._rates_shown import tilt_text
from layerwise.finder import RatesProbe
from layerwise.plots._findings.rates import losses_by_place
from tests._support.pictures import axes
from tests._support.rates import FINDINGS, NO_ANSWER, TILTS, found, searched


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


def cells(ax):
    [made] = [part for part in ax.collections if isinstance(part, PatchCollection)]
    boxes = [path.get_extents() for path in made.get_paths()]
    return [(math.sqrt(box.x0 * box.x1), (box.y0 + box.y1) / 2) for box in boxes], made.get_array()


def test_a_bar_ends_at_its_multiplier_and_the_input_is_at_the_top():
    ax = plots.rates(found(1.7), axes())
    assert ax.get_xscale() == "linear"
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(ends, [1.7**-n for n in range(5)])
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *(f"backbone/block_{n}" for n in range(4)),
        "head",
    ]
    low, high = ax.get_ylim()
    assert low > high


def test_multipliers_decades_apart_get_a_logarithmic_axis_with_the_smallest_bar_visible():
    ax = plots.rates(found(0.3), axes())
    assert ax.get_xscale() == "log"
    left = ax.get_xlim()[0]
    assert 0 < left < 0.3**4
    np.testing.assert_allclose(
        [bar.get_x() + bar.get_width() for bar in ax.patches], [0.3**n for n in (4, 3, 2, 1, 0)]
    )


def test_the_rate_of_each_band_stands_at_the_right():
    ax = plots.rates(found(3.0), axes())
    [right] = [other for other in ax.figure.axes if other is not ax]
    assert right.get_ylim() == ax.get_ylim()
    texts = [label.get_text() for label in right.get_yticklabels()]
    assert texts == ["0.01", "3.33e-3", "1.11e-3", "3.7e-4", "1.23e-4"]


@pytest.mark.parametrize("name", FINDINGS)
def test_the_range_that_is_as_good_is_drawn_where_there_is_one(name):
    finding = FINDINGS[name]
    ax = plots.rates(finding, axes())
    ranges = [line for line in ax.lines if len(line.get_xdata()) == 2]
    left = ax.get_xlim()[0]
    wanted = [
        (max(band.low, left), band.high) for band in finding.bands if band.low < band.high
    ] * (finding.learning_rate is not None)
    assert len(ranges) == len(wanted)
    for line, ends in zip(ranges, wanted, strict=True):
        np.testing.assert_allclose(line.get_xdata(), ends)


def test_only_what_is_frozen_is_called_so():
    ax = plots.rates(FINDINGS["head alone"], axes())
    said = [(text.get_text(), text.xy[1]) for text in ax.texts if text.get_text() == "frozen"]
    assert said == [("frozen", place) for place in range(4)]
    assert not [t for t in plots.rates(found(0.3), axes()).texts if t.get_text() == "frozen"]


def test_without_an_answer_there_are_no_bars_but_the_reason():
    ax = plots.rates(NO_ANSWER, axes())
    assert not ax.patches
    assert ax.texts[0].get_text().startswith("No answer: Nothing to gain")
    assert len(ax.figure.axes) == 1
    assert plots.rates_heat_map(NO_ANSWER, axes()).texts[0].get_text().startswith("No answer")


@pytest.mark.parametrize("tilt", TILTS)
def test_each_place_that_was_tried_is_a_cell_and_the_answer_is_marked(tilt):
    finding = found(tilt)
    ax = plots.rates_heat_map(finding, axes())
    centres, losses = cells(ax)
    rows = {t: row for row, t in enumerate(TILTS)}
    wanted = [(rate, rows[t]) for rate, t in losses_by_place(finding)]
    np.testing.assert_allclose(sorted(centres), sorted(wanted))
    assert [label.get_text() for label in ax.get_yticklabels()] == list(map(tilt_text, TILTS))
    marks = {str(line.get_label()).split(":")[0]: line for line in ax.lines}
    assert float(marks["answer"].get_xdata()[0]) == finding.learning_rate
    assert marks["answer"].get_ydata()[0] == rows[tilt]
    best = centres[int(np.argmin(losses))]
    np.testing.assert_allclose(best, (0.01, rows[tilt]))
    if tilt == 1:
        assert set(marks) == {"answer"}
    else:
        assert float(marks["best single rate"].get_xdata()[0]) == finding.single_rate
        assert marks["best single rate"].get_ydata()[0] == rows[1.0]


def test_cells_in_a_row_do_not_touch():
    ax = plots.rates_heat_map(searched(), axes())
    [made] = [part for part in ax.collections if isinstance(part, PatchCollection)]
    boxes = sorted((p.get_extents().y0, p.get_extents().x0, p.get_extents().x1)
                   for p in made.get_paths())  # fmt: skip
    for (row, _, end), (other, begin, _) in pairwise(boxes):
        assert row != other or end < begin


@pytest.mark.parametrize(("lowest", "bar"), [(0.4, "above the lowest"), (0.001, "times the")])
def test_colours_are_logarithmic_where_losses_are_far_apart(lowest, bar):
    probes = (probe(0.1, 1.0, 0, 0.5), probe(0.1, 0.0, 0, lowest))
    ax = plots.rates_heat_map(found(count=2, probes=probes, untrained=(2.0,)), axes())
    _, losses = cells(ax)
    wanted = [0.25, 0.0] if lowest == 0.4 else [500.0, 1.0]
    np.testing.assert_allclose(losses, wanted, atol=1e-12)
    [second] = [other for other in ax.figure.axes if other is not ax]
    assert bar in second.get_ylabel()


def probe(rate, tilt, division, score):
    return RatesProbe(rate, tilt, (1.0, 1.0), division, score, score, (), 9)


def test_losses_are_means_relative_to_those_without_training():
    probes = (
        probe(0.1, 1.0, 0, 1.0),  # a half of 2
        probe(0.1, 1.0, 1, 3.0),  # three quarters of 4
        probe(0.1, 0.0, 1, 1.0),  # a quarter
        probe(1.0, 1.0, 0, math.inf),  # broke: as good as none
    )
    losses = losses_by_place(found(count=2, probes=probes, untrained=(2.0, 4.0)))
    assert losses == pytest.approx({(0.1, 1.0): 1.5, (0.1, 0.0): 0.0, (1.0, 1.0): 3.0})


def test_losses_below_0_are_shares_of_the_gain_that_was_missed():
    probes = (probe(0.1, 1.0, 0, -3.0), probe(0.1, 0.3, 0, 0.0), probe(1.0, 1.0, 0, math.inf))
    losses = losses_by_place(found(count=2, probes=probes, untrained=(1.0,)))
    assert losses == pytest.approx({(0.1, 1.0): 0.0, (0.1, 0.3): 0.75, (1.0, 1.0): 1.0})


def test_a_finding_draws_itself():
    ax = axes()
    assert found().plot(ax) is ax
    assert found().heat_map().get_xlabel() == "base rate"


@pytest.mark.parametrize(
    ("draw", "missing"), [(plots.rates, "bands"), (plots.rates_heat_map, "probes")]
)
def test_what_has_nothing_to_draw_is_refused(draw, missing):
    ax = axes()
    with pytest.raises(LayerwiseError, match=f"must have {missing}"):
        draw(replace(found(), **{missing: ()}), ax)
    assert not ax.has_data()
