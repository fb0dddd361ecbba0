"""Pictures: the data in them is what was asked for, and a person can read them."""

import subprocess
import sys
from functools import partial
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot

from layerwise import (
    LayerwiseError,
    RecorderError,
    ScheduleError,
    cosine,
    cyclic,
    from_function,
    inverse_sqrt,
    layer_decay,
    plots,
    warmup,
)
from layerwise._numbers import number_text
from layerwise._series import moving_average
from layerwise.finder import LRFinding, QuadraticTrainer, search
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import History
from tests._support.pictures import GROUNDS, axes, contrast
from tests._support.rates import FINDINGS

SCHEDULE = warmup(10) >> cosine(90)
RNG = np.random.default_rng(4)


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    pyplot.close("all")


def plan(rules=None, **changes):
    names = ["embed/table", "body/dense/kernel", "body/dense/bias", "head/kernel"]
    given = {"learning_rate": 1e-3, "schedule": SCHEDULE} | changes
    rules = {"embed": 0, "body": 0.1} if rules is None else rules
    return resolve(map(Parameter, names), rules, **given)


def found(**changes):
    trainer = QuadraticTrainer(noise=0.3)
    finding = search(trainer, range(100), method="sweep", progress=False)
    return LRFinding.from_config(finding.to_config() | changes)


def run(name="a", steps=400, size=1.0, groups=("body", "head"), seed=0, **columns):
    random = np.random.default_rng(seed)
    step = np.arange(steps)
    loss = size * (2 * np.exp(-step / 100) + 0.1 * random.random(steps))
    rates = {f"rates/{group}": 1e-3 * 0.5**i + 0 * loss for i, group in enumerate(groups)}
    return History(
        {"step": step, "loss": loss, "accuracy": 1 - np.exp(-step / 100), **rates, **columns},
        {"step": [200, 400], "epoch": [0, 1], "val_loss": [0.5 * size, 0.3 * size]},
        name,
    )


PICTURES = {
    "schedule": lambda ax: plots.schedule(warmup(500) >> cosine(9_500), ax=ax),
    "schedules": lambda ax: [plots.schedule(s, 100, ax=ax) for s in (SCHEDULE, cosine(50))][-1],
    "plan": lambda ax: plots.plan(plan(), 100, ax=ax),
    "deep plan": lambda ax: plots.plan(plan(layer_decay(0.05)), 100, ax=ax),
    "heat map": lambda ax: plots.heat_map(plan(), 100, ax=ax),
    "finding": lambda ax: plots.finding(found(), ax=ax),
    "no finding": lambda ax: plots.finding(found(suggestion=None), ax=ax),
    "history": lambda ax: plots.history(run(), ax=ax),
    "history of a large loss": lambda ax: plots.history(run(size=500.0), ax=ax),
    "compare": lambda ax: plots.compare([run("a"), run("b", seed=1)], ax=ax),
    **{f"rates, {name}": partial(plots.rates, found) for name, found in FINDINGS.items()},
    **{f"probes, {name}": partial(plots.rates_heat_map, f) for name, f in FINDINGS.items()},
}


def all_axes(ax):
    return ax.figure.axes


def shown_labels(axis):
    if not axis.get_visible():
        return []
    low, high = sorted(axis.get_view_interval())
    labels = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return [label for place, label in labels if low <= place <= high and label.get_text()]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("ground", GROUNDS)
def test_labels_do_not_overlap_and_stay_inside(name, ground):
    ax = PICTURES[name](axes(ground))
    figure = ax.figure
    figure.draw_without_rendering()
    texts = [text for one in all_axes(ax) for axis in (one.xaxis, one.yaxis)
             for text in shown_labels(axis)]  # fmt: skip
    boxes = {tuple(text.get_window_extent().extents): text for text in texts}
    boxes |= {tuple(text.get_window_extent().extents): text for one in all_axes(ax)
              for text in (one.xaxis.label, one.yaxis.label, one.title, one._left_title)
              if text.get_text()}  # fmt: skip
    boxes |= {tuple(text.get_window_extent().extents): text for text in ax.texts}
    legend = ax.get_legend()
    if legend is not None:
        boxes |= {tuple(text.get_window_extent().extents): text for text in legend.get_texts()}
    assert len(boxes) >= 8
    known = list(boxes.items())
    for i, ((left, bottom, right, top), text) in enumerate(known):
        assert left >= 0, text
        assert bottom >= 0, text
        assert right <= 600, text
        assert top <= 400, text
        for (left2, bottom2, right2, top2), other in known[i + 1 :]:
            apart = right <= left2 or right2 <= left or top <= bottom2 or top2 <= bottom
            assert apart, (text, other)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("ground", GROUNDS)
def test_every_text_and_line_stands_out(name, ground):
    ax = PICTURES[name](axes(ground))
    texts = [text for one in all_axes(ax) for axis in (one.xaxis, one.yaxis)
             for text in (*shown_labels(axis), axis.label) if text.get_text()]  # fmt: skip
    colors = [line.get_color() for line in ax.lines] + [text.get_color() for text in texts]
    assert len(colors) > 5
    for color in colors:
        assert contrast(color, ground) >= 3, color


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_but_the_axes_is_touched(name):
    before = dict(mpl.rcParams)
    ax = axes()
    assert PICTURES[name](ax) is ax
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_without_axes_there_is_a_figure_that_a_notebook_shows():
    ax = plots.schedule(SCHEDULE)
    assert pyplot.gcf() is ax.figure
    assert pyplot.get_fignums() == [1]


def test_a_schedule_is_its_values():
    ax = plots.schedule(SCHEDULE, ax=axes())
    x, y = ax.lines[0].get_data()
    assert x.tolist() == list(range(101))
    assert y.tolist() == [SCHEDULE(step) for step in range(101)]
    assert ax.get_title(loc="left") == "warmup(10) >> cosine(90)"
    assert ax.get_xlabel() == "step (optimizer updates)"
    assert ax.get_ylabel() == "factor on the base rate"


def test_chosen_steps_are_drawn_and_no_others():
    ax = plots.schedule(SCHEDULE, steps=[0, 5, 40], ax=axes())
    assert ax.lines[0].get_xdata().tolist() == [0, 5, 40]


def test_an_endless_schedule_needs_steps():
    with pytest.raises(ScheduleError, match="say how many steps to draw"):
        plots.schedule(inverse_sqrt(10))
    ax = plots.schedule(inverse_sqrt(10), steps=40, ax=axes())
    assert ax.lines[0].get_ydata()[-1] == inverse_sqrt(10)(40)


def test_a_long_schedule_keeps_its_peaks():
    schedule = cyclic(500, low=0.0, decay=0.9)
    x, y = plots.schedule(schedule, steps=100_000, ax=axes()).lines[0].get_data()
    assert len(x) <= 2_002
    for cycle in range(5):
        assert y[x == 500 + 1000 * cycle].tolist() == [pytest.approx(0.9**cycle)]


def test_a_function_is_called_with_one_step_at_a_time():
    def factor(step):
        return 1.0 if step < 50 else 0.5

    schedule = warmup(10) >> from_function(factor, length=90)
    y = plots.schedule(schedule, ax=axes()).lines[0].get_ydata()
    assert y.tolist() == [schedule(step) for step in range(101)]


def test_schedules_on_one_picture_differ_and_are_named():
    ax = PICTURES["schedules"](axes())
    colors = {line.get_color() for line in ax.lines}
    assert len(colors) == 2
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["warmup(10) >> cosine(90)", "cosine(50)"]


@pytest.mark.parametrize("steps", [0, -3, 1.5, True, [1], [3, 2], [-1, 4], "ten"])
def test_what_are_no_steps_is_refused(steps):
    with pytest.raises(LayerwiseError, match="steps="):
        plots.schedule(SCHEDULE, steps=steps)
    assert pyplot.get_fignums() == []


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ScheduleError, match="from_function"):
        plots.schedule(lambda step: step)


def test_a_plan_has_a_line_for_each_rate():
    ax = plan({"embed": 0, "body": 0.1, "head": cosine(100)}).plot(steps=100, ax=axes())
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["head: cosine(100)", "body/dense: 0.1", "frozen: embed"]
    steps = range(101)
    head, body, frozen = (line.get_ydata() for line in lines.values())
    assert head == pytest.approx([1e-3 * SCHEDULE(s) * cosine(100)(s) for s in steps], rel=1e-12)
    assert body == pytest.approx([1e-4 * SCHEDULE(s) for s in steps], rel=1e-12)
    assert frozen.tolist() == [0.0] * 101
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert ax.get_ylabel() == "learning rate"
    assert ax.get_yscale() == "linear"


def test_a_plan_s_rates_are_those_of_its_table():
    rates = plan(layer_decay(0.5))
    ax = rates.plot(steps=[0, 7, 60], ax=axes())
    for column, step in enumerate([0, 7, 60]):
        drawn = {float(line.get_ydata()[column]) for line in ax.lines}
        assert sorted(drawn) == pytest.approx(sorted(set(rates.rates(step))))


def test_rates_far_apart_are_on_a_logarithmic_axis():
    ax = plan({"body": 1e-3}).plot(steps=100, ax=axes())
    assert ax.get_yscale() == "log"
    assert "1e-4" in [label.get_text() for label in shown_labels(ax.yaxis)]


def test_without_a_rate_a_plan_shows_multipliers():
    ax = plan(learning_rate=None, schedule=None).plot(steps=10, ax=axes())
    assert ax.get_ylabel() == "multiplier"
    assert ax.lines[0].get_ydata().tolist() == [1.0] * 11


def test_many_groups_are_named_in_part():
    names = [Parameter(f"block_{i}/kernel") for i in range(40)]
    ax = resolve(names, layer_decay(0.9), learning_rate=1.0).plot(steps=10, ax=axes())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(ax.lines) == 40
    assert len(texts) == 8
    assert texts[0] == "block_39: 1"
    assert texts[-1].startswith("block_0: ")


def test_a_heat_map_is_the_rates_of_each_layer():
    rates = plan({"embed": 0, "body/dense/bias": 0.5})
    ax = rates.heat_map(steps=[0, 10, 50, 100], ax=axes())
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "embed", "body/dense/kernel", "body/dense/bias", "head",
    ]  # fmt: skip
    cells = ax.collections[0].get_array()
    expected = np.array([rates.rates(step) for step in (0, 10, 50, 100)]).T
    assert cells.data == pytest.approx(expected, rel=1e-12)
    assert cells.mask.tolist() == [[True] * 4, [False] * 4, [False] * 4, [False] * 4]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first layer is at the top


@pytest.mark.parametrize("schedule", [cosine(50), lambda step: 0.5 + step, 0.5])
def test_a_heat_map_under_another_schedule(schedule):
    steps = [0, 10, 40]
    factors = np.array([schedule(s) if callable(schedule) else schedule for s in steps])
    for rate in (2e-3, None):
        one = plan({"embed": 0.5, "body": 0.1}, learning_rate=rate)
        ax = one.heat_map(steps=steps, ax=axes(), schedule=schedule)
        cells = ax.collections[0].get_array().data
        expected = np.outer([0.5, 0.1, 1.0], factors) * (1.0 if rate is None else rate)
        assert cells == pytest.approx(expected, rel=1e-12)
        assert "actor on the base rate" in ax.get_title(loc="left") or rate is not None
        assert one.schedule is SCHEDULE


@pytest.mark.parametrize("schedule", ["cosine", -1, np.nan, np.inf, [1.0]])
def test_a_heat_map_under_no_schedule(schedule):
    with pytest.raises(LayerwiseError, match="schedule must be a schedule"):
        plan().heat_map(steps=100, ax=axes(), schedule=schedule)


def test_a_layer_with_one_rate_has_one_row():
    ax = plan(layer_decay(0.5)).heat_map(steps=100, ax=axes())
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["embed", "body/dense", "head"]


def test_a_high_heat_map_names_as_many_rows_as_fit():
    names = [Parameter(f"block_{i}/kernel") for i in range(100)]
    ax = resolve(names, layer_decay(0.9), learning_rate=1.0).heat_map(steps=10, ax=axes())
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert 5 < len(boxes) < 30
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))


def test_an_empty_plan_has_no_heat_map():
    with pytest.raises(LayerwiseError, match="must have parameters"):
        resolve([]).heat_map(steps=10)


def test_a_finding_is_its_curve():
    finding = found()
    ax = finding.plot(ax=axes())
    raw, smoothed = ax.lines[:2]
    assert raw.get_xdata().tolist() == list(finding.rates)
    assert list(raw.get_ydata()) == list(finding.losses)
    assert smoothed.get_ydata().tolist() == list(finding.smoothed)
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "learning rate", "loss")
    labels = [label.get_text() for label in shown_labels(ax.xaxis)]
    assert {"1e-6", "1e-4", "0.01", "1"} <= set(labels)


def test_a_finding_marks_the_suggestion_and_the_classical_ones():
    finding = found()
    ax = plots.finding(finding, ax=axes())
    marked = {line.get_label().partition(":")[0]: line.get_xdata()[0] for line in ax.lines[2:]}
    for name, rate in finding.candidates.items():
        assert marked.get(name) == rate
    assert marked["_suggestion"] == finding.suggestion
    [note] = ax.texts
    assert note.get_text() == f"suggestion {number_text(finding.suggestion, 3)}"
    assert note.get_fontweight() == "bold"


def test_a_finding_without_a_suggestion_says_why():
    ax = plots.finding(found(suggestion=None, reason="the loss never fell."), ax=axes())
    assert ax.texts[0].get_text() == "No suggestion: the loss never fell."
    assert not [line for line in ax.lines if line.get_label() == "_suggestion"]


def test_a_finding_shows_its_probes_and_leaves_out_what_explodes():
    probes = [[1e-2, 0.5, 20], [1e-1, 0.25, 20], [1.0, "inf", 3]]
    ax = plots.finding(found(probes=probes), ax=axes())
    [line] = [line for line in ax.lines if line.get_label() == "after short trainings"]
    assert list(line.get_xdata()) == [1e-2, 1e-1, 1.0]
    low, high = ax.get_ylim()
    first = found().losses[0]
    assert low < 0.25
    assert first < high < 3 * first


def test_a_finding_of_nothing_but_nan_is_drawn():
    nothing = ["nan"] * 12
    config = {"rates": np.geomspace(1e-4, 1, 12).tolist(), "losses": nothing, "smoothed": nothing}
    ax = plots.finding(found(**config, suggestion=None, candidates={}), ax=axes())
    ax.figure.draw_without_rendering()
    assert ax.get_ylim() == (0.0, 1.0)


def test_a_history_is_its_loss_its_average_and_its_rates():
    history = run()
    ax = plots.history(history, ax=axes())
    lines = {line.get_label(): line for one in all_axes(ax) for line in one.lines}
    loss = history.batch["loss"]
    assert lines["each batch"].get_ydata().tolist() == loss.tolist()
    # A fiftieth of 400 batches, as a round number.
    assert lines["loss"].get_ydata()[200] == pytest.approx(loss[196:201].mean(), rel=1e-12)
    assert lines["val_loss"].get_xdata().tolist() == [200, 400]
    assert lines["val_loss"].get_ydata().tolist() == [0.5, 0.3]
    assert lines["rate of body"].get_ydata().tolist() == [1e-3] * 400
    assert lines["rate of head"].get_ydata().tolist() == [5e-4] * 400
    assert lines["rate of head"].axes is not ax
    assert lines["rate of head"].axes.get_ylabel() == "learning rate"
    assert lines["accuracy"].axes is ax
    assert ax.get_ylabel() == "loss, accuracy"


def test_metrics_of_another_size_have_an_axis_of_their_own():
    ax = plots.history(run(size=500.0), ax=axes())
    assert [one.get_ylabel() for one in all_axes(ax)] == ["loss", "learning rate", "accuracy"]


@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_up_to_twelve_groups_have_a_line_each(count):
    history = run(groups=[f"block_{i}" for i in range(count)])
    lines = all_axes(plots.history(history, ax=axes()))[1].lines
    assert [line.get_label() for line in lines] == [f"rate of {name}" for name in history.rates]
    assert [line.get_ydata()[0] for line in lines] == [1e-3 * 0.5**i for i in range(count)]
    assert len({(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines}) == count
    assert all(contrast(line.get_color(), ground) >= 3 for line in lines for ground in GROUNDS)
    # 2048 times from the first to the last of twelve, at most 8 times otherwise.
    assert lines[0].axes.get_yscale() == ("log" if count == 12 else "linear")


def test_more_rates_are_a_range():
    ax = plots.history(run(groups=[f"block_{i}" for i in range(13)]), ax=axes())
    high, low = all_axes(ax)[1].lines
    assert high.get_label() == "highest of 13 rates"
    assert set(high.get_ydata()) == {1e-3}
    assert set(low.get_ydata()) == {1e-3 * 0.5**12}


@pytest.mark.parametrize(
    ("loss", "scale"),
    [
        (10.0 ** -np.linspace(0, 3, 400), "log"),
        (10.0 ** np.linspace(-3, 0, 400), "linear"),  # it rises, as an accuracy does
        (np.linspace(2, 0.2, 400), "linear"),
        (np.maximum(np.linspace(2, -1, 400), 0), "linear"),  # 0 has no logarithm
        (np.append(10.0 ** -np.linspace(0, 3, 399), np.nan), "log"),
    ],
)
def test_a_loss_that_falls_by_decades_is_logarithmic(loss, scale):
    history = History({"step": np.arange(400), "loss": loss}, name="a")
    for draw in (plots.history, lambda one, ax: plots.compare([one, one], ax=ax)):
        assert draw(history, ax=axes()).get_yscale() == scale


def test_a_history_of_epochs_alone_is_drawn_over_epochs():
    epochs = {"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "rate": [0.1, 0.1, 0.01]}
    ax = plots.history(History(epoch=epochs), ax=axes())
    assert ax.get_xlabel() == "epoch"
    assert ax.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert all_axes(ax)[1].lines[0].get_ydata().tolist() == [0.1, 0.1, 0.01]


def test_an_empty_history_says_so():
    ax = plots.history(History(name="new"), ax=axes())
    assert [text.get_text() for text in ax.texts] == ["nothing recorded yet"]


def test_losses_that_are_not_finite_leave_gaps():
    loss = np.array([1.0, np.nan, np.inf, 1.0] * 10)
    ax = plots.history(History({"step": np.arange(40), "loss": loss}), ax=axes())
    ax.figure.draw_without_rendering()
    assert np.nanmax(ax.lines[1].get_ydata()) == 1.0


def test_runs_are_compared_by_their_averages():
    runs = [run("a"), run("b", seed=1)]
    ax = plots.compare(runs, ax=axes())
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["a", "b"]
    for line, history in zip(lines, runs, strict=True):
        assert line.get_ydata() == pytest.approx(moving_average(history.batch["loss"]))
    assert len({line.get_color() for line in lines}) == 2
    assert ax.get_title(loc="left") == "Loss of 2 runs (points: validation)"


def test_runs_are_compared_by_a_metric():
    ax = plots.compare([run("a")], ax=axes(), column="accuracy")
    assert ax.get_ylabel() == "accuracy"


def test_comparing_what_no_run_has_names_what_is_there():
    with pytest.raises(RecorderError, match=r"'f1'. They have accuracy, .*loss"):
        plots.compare([run()], column="f1")


def test_ticks_of_a_picture_are_short():
    ax = plots.schedule((warmup(500) >> cosine(9_500)) * 1e-3, ax=axes())
    assert [label.get_text() for label in shown_labels(ax.xaxis)] == [
        "0", "2k", "4k", "6k", "8k", "10k",
    ]  # fmt: skip
    assert [label.get_text() for label in shown_labels(ax.yaxis)] == [
        "0", "2e-4", "4e-4", "6e-4", "8e-4", "1e-3",
    ]  # fmt: skip


def test_without_matplotlib_the_extra_is_named():
    code = "import sys; sys.modules['matplotlib'] = None; import layerwise.plots"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'Pictures need matplotlib: pip install "layerwise[plot]".' in done.stderr
