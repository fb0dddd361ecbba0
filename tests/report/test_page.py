"""The page as a file: what is in it, for which runs, and what is refused."""

import gzip
import json
import re
from base64 import b64decode
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from layerwise.errors import RecorderError
from layerwise.recorder import History, Recorder
from layerwise.report import write_report
from tests._support.rates import FINDINGS
from tests._support.runs import EVIL, STEPS, train

SECTIONS = [
    "layers",
    "loss",
    "metrics",
    "finder",
    "rates-found",
    "base-rate",
    "groups",
    "ratios",
]


class Reader(HTMLParser):
    """The tags of a page with their attributes, and the text of each element by its tag."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self._open = [], {}, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def ids(self):
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


def read(path):
    return Reader(path.read_text(encoding="utf-8"))


def figures(page):
    return json.loads(page.texts["script"][0])


def drawn(page):
    return {figure["id"] for figure in figures(page)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return read(write_report(run, tmp_path_factory.mktemp("page") / "one.html"))


def test_everything_that_was_recorded_is_there(page):
    assert [i for i in page.ids() if i in SECTIONS] == SECTIONS
    assert drawn(page) == {
        "picture-loss",
        "picture-metric-0",
        "picture-finder",
        "picture-found-0",
        "picture-rate",
        "picture-groups-0",
        "picture-rates-0",
        "picture-ratios-0",
    }


def test_every_picture_has_a_title_units_a_description_and_a_table(page):
    charts = [a for a in page.attributes("div") if a.get("class") == "chart"]
    assert {chart["id"] for chart in charts} == drawn(page)
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 30 for chart in charts)
    assert len(page.attributes("details")) == len(page.attributes("figure")) == len(charts)
    assert page.texts["summary"] == [text for text in page.texts["summary"] if "Table: " in text]
    for figure in figures(page):
        x, y = figure["layout"]["xaxis"], figure["layout"]["yaxis"]
        assert x["title"]["text"]
        heat = figure["data"][0]["type"] == "heatmap"
        assert figure["data"][0]["colorbar"]["title"]["text"] if heat else y["title"]["text"]


def test_headings_and_landmarks_are_in_order(page):
    headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))
    assert page.attributes("html")[0]["lang"] == "en"
    assert [len(page.attributes(tag)) for tag in ("main", "header", "footer", "nav")] == [1] * 4
    assert "plain" in page.texts["title"][0]
    assert len(page.ids()) == len(set(page.ids()))


def test_the_facts_are_those_of_the_record(run, page):
    history = History.load(run)
    cells = {
        cell["data-heading"]: text
        for cell, text in zip(page.attributes("td"), page.texts["td"], strict=True)
        if "data-heading" in cell
    }
    assert cells["steps"].split() == [str(STEPS), "5", "epochs"]
    assert float(cells["highest rate"].split()[0]) == history.batch["rate"].max()
    last, best = re.findall(r"[\d.]+", cells["val_accuracy"])[:2]
    assert float(last) == pytest.approx(history.epoch["val_accuracy"][-1], abs=1e-4)
    assert float(best) == pytest.approx(history.epoch["val_accuracy"].max(), abs=1e-3)


def test_lines_are_those_of_the_record(run, page):
    history = History.load(run)
    by_id = {figure["id"]: figure for figure in figures(page)}
    raw, average = by_id["picture-loss"]["data"]
    assert raw["x"] == history.batch["step"].tolist()
    np.testing.assert_allclose(raw["y"], history.batch["loss"], rtol=1e-4)
    assert average["y"][-1] == pytest.approx(history.batch["loss"][-5:].mean(), rel=1e-4)
    ratios = by_id["picture-ratios-0"]["data"][0]
    assert ratios["x"] == list(range(0, STEPS, 5))
    np.testing.assert_allclose(
        ratios["customdata"][1], history.batch["ratios/head"][::5], rtol=1e-4
    )
    plan = by_id["picture-rates-0"]["data"][0]
    assert plan["y"] == ["body", "head"]
    np.testing.assert_allclose(plan["customdata"][0], np.array(plan["customdata"][1]) / 10)


def test_figures_are_valid_plotly(page):
    for figure in figures(page):
        text = re.sub(r'"@[\w-]+"', '"#123456"', json.dumps(figure))
        plain = json.loads(text)
        assert go.Figure(data=plain["data"], layout=plain["layout"]).data


def test_the_page_loads_nothing(page):
    addresses = [
        attributes[name]
        for _, attributes in page.tags
        for name in ("src", "href", "action", "data")
        if name in attributes
    ]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    style = page.texts["style"][0]
    assert "url(" not in style
    assert "@import" not in style
    [policy] = [a["content"] for a in page.attributes("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    packed = next(t for t in page.texts["script"] if len(t) > 1_000_000)
    assert gzip.decompress(b64decode(packed)).decode() == get_plotlyjs()


def test_names_are_text(tmp_path):
    run = train(tmp_path / "a<b>&", names=(EVIL, '"><img src=x>'), metric=f"</script>{EVIL}")
    path = write_report([run], tmp_path / "evil.html")
    html, page = path.read_text(encoding="utf-8"), read(path)
    assert EVIL not in html
    assert "<img" not in html
    assert html.count("<script") == html.count("</script>") == 3
    plan = next(figure for figure in figures(page) if figure["id"] == "picture-rates-0")
    assert plan["data"][0]["y"] == [EVIL, '"><img src=x>']
    assert any(EVIL in text for text in page.texts["td"] + page.texts["th"])
    assert "a<b>&" in page.texts["h1"][0]


def test_several_runs_are_compared(run, tmp_path):
    short = train(tmp_path / "short", rate=0.1, steps=70)
    path = write_report([run, short, History.load(run)], tmp_path)
    assert path == tmp_path / "report.html"
    page = read(path)
    boxes = [a for a in page.attributes("input") if a["type"] == "checkbox"]
    assert [box["data-run"] for box in boxes] == ["0", "1", "2"]
    loss = next(figure for figure in figures(page) if figure["id"] == "picture-loss")
    assert {trace["meta"]["run"] for trace in loss["data"]} == {0, 1, 2}
    # Two runs of one name can be told apart.
    names = {trace["name"] for trace in loss["data"]}
    assert len(names) == 3
    assert "short" in names
    assert {"picture-rates-0", "picture-rates-1", "picture-rates-2"} <= drawn(page)


def test_a_run_that_has_only_begun(tmp_path):
    Recorder(tmp_path / "empty").close()
    page = read(write_report(tmp_path / "empty", tmp_path / "empty.html"))
    assert any("has no row yet" in text for text in page.texts["p"])
    assert "figure" not in page.texts
    assert "script" not in page.texts


def test_a_run_that_was_cut_off(tmp_path):
    run = train(tmp_path / "cut", steps=90)
    with (run / "record.jsonl").open("a") as file:
        file.write("[0, 90, 1, 0.5, 0.")
    page = read(write_report(run, tmp_path / "cut.html"))
    loss = next(figure for figure in figures(page) if figure["id"] == "picture-loss")
    assert max(loss["data"][0]["x"]) == 89


def test_losses_that_are_not_finite_are_said_and_left_out(tmp_path):
    with Recorder(tmp_path / "nan") as recorder:
        for step in range(200):
            loss = 1 / (1 + step) if step < 150 else float("nan" if step % 2 else "inf")
            recorder.log(step=step, loss=loss)
    page = read(write_report(tmp_path / "nan", tmp_path / "nan.html"))
    [remark] = [text for text in page.texts["p"] if "NaN or infinite" in text]
    assert "50 losses" in remark
    assert "step 150" in remark
    raw = figures(page)[0]["data"][0]
    assert raw["y"][149] is not None
    assert raw["y"][150:] == [None] * 50


def test_no_finite_loss_at_all(tmp_path):
    history = History({"step": [0, 1], "loss": [np.nan, np.inf]}, name="lost")
    page = read(write_report(history, tmp_path / "lost.html"))
    assert any("No loss of the run lost" in text for text in page.texts["p"])
    assert "figure" not in page.texts


@pytest.mark.parametrize(
    ("batch", "epoch", "pictures"),
    [
        ({"loss": [3.0, 2.0]}, {}, {"picture-loss"}),
        ({}, {"epoch": [0, 1], "val_loss": [2.0, 1.0]}, {"picture-loss"}),
        ({}, {"epoch": [0], "step": [9], "mae": [2.0]}, {"picture-metric-0"}),
        ({"step": [0, 1], "rate": [0.0, 1.0]}, {}, {"picture-rate"}),
        ({"step": [0], "ratios/a": [0.0]}, {}, {"picture-ratios-0"}),
        (
            {"step": [5, 5], "epoch": [0, 0], "loss": [1, 2]},
            {"epoch": [0], "val_loss": [1]},
            {"picture-loss"},
        ),
    ],
)
def test_a_part_of_the_columns_is_enough(tmp_path, batch, epoch, pictures):
    page = read(write_report(History(batch, epoch, name="part"), tmp_path / "part.html"))
    assert drawn(page) == pictures


def test_epochs_without_a_step_are_drawn_over_the_epoch(tmp_path):
    with Recorder(tmp_path / "epochs") as recorder:
        for epoch, loss in enumerate([1.0, 0.5, 0.2]):
            recorder.log_epoch(epoch, loss=loss, metrics={"auc": 0.9, "val_auc": 0.8})
    page = read(write_report(tmp_path / "epochs", tmp_path / "page.html"))
    for figure in figures(page):
        assert figure["layout"]["xaxis"]["title"]["text"] == "epoch"
        assert all(trace["x"] == [0, 1, 2] for trace in figure["data"])
        assert all("at epoch" in trace["hovertemplate"] for trace in figure["data"])
    assert {"epoch", "auc"} <= set(page.texts["th"])
    # Beside a run with steps they have no place, and the page says so.
    other = History({"step": [0, 1], "loss": [2.0, 1.0]}, name="other")
    page = read(write_report([tmp_path / "epochs", other], tmp_path / "both.html"))
    assert any("at which step loss was measured" in text for text in page.texts["li"])


def test_a_lone_point_has_a_marker(tmp_path):
    columns = {"step": [0], "loss": [2.0], "m": [1.0], "rates/a": [0.1], "rates/b": [0.2]}
    page = read(write_report(History(columns), tmp_path / "lone.html"))
    modes = [trace["mode"] for figure in figures(page) for trace in figure["data"]]
    assert modes == ["lines+markers"] * 4


def test_many_groups_are_a_heat_map(tmp_path):
    columns = {f"rates/layer {i}": np.full(50, 10.0**-i) for i in range(9)}
    history = History({"step": np.arange(50), **columns}, name="many")
    page = read(write_report(history, tmp_path / "many.html"))
    assert drawn(page) == {"picture-rates-0"}
    assert figures(page)[0]["data"][0]["y"] == [f"layer {i}" for i in range(9)]


def test_groups_of_one_course_share_a_line(tmp_path):
    columns = {"rates/a": [1.0, 0.5], "rates/b": [1.0, 0.5], "rates/c": [0.0, 0.0]}
    page = read(write_report(History({"step": [0, 1], **columns}), tmp_path / "same.html"))
    assert [trace["name"] for trace in figures(page)[0]["data"]] == ["a, b", "c"]


def test_a_finding_that_can_not_be_read_is_said(tmp_path):
    history = History({"step": [0], "loss": [1.0]}, name="old", finding={"layerwise": "older"})
    page = read(write_report(history, tmp_path / "old.html"))
    assert any("The finding of the run old can't be read" in t for t in page.texts["p"])
    assert drawn(page) == {"picture-loss"}


def with_rates(finding, name="found"):
    return History({"step": [0], "loss": [1.0]}, name=name, found_rates=finding.to_config())


@pytest.mark.parametrize("name", FINDINGS)
def test_rates_that_were_found_are_bars_with_their_reason(tmp_path, name):
    finding = FINDINGS[name]
    page = read(write_report(with_rates(finding), tmp_path / "found.html"))
    [figure] = [figure for figure in figures(page) if figure["id"] == "picture-found-0"]
    bars, lines = figure["data"]
    answered = finding.learning_rate is not None
    assert bars["x"] == [band.multiplier for band in finding.bands] * answered
    axis = figure["layout"]["xaxis"]
    start = 10 ** axis["range"][0] if axis["type"] == "log" else 0.0
    ranges = [(max(b.low, start), b.high) for b in finding.bands if b.low < b.high] * answered
    np.testing.assert_allclose(lines["x"][0::3], [low for low, _ in ranges])
    assert lines["x"][1::3] == [high for _, high in ranges]
    if axis["type"] == "log":
        assert start < min(m for band in finding.bands for m in (band.multiplier, band.high) if m)
    else:
        assert axis["range"][0] == 0
    assert len(figure["layout"]["yaxis"]["ticktext"]) == len(finding.bands)
    assert finding.reason in " ".join(page.texts["li"])
    cells = page.texts["td"]
    assert all(any(band.name in cell for cell in cells) for band in finding.bands)
    assert any("found: 0.01" in cell for cell in cells) == answered
    go.Figure({"data": [bars | {"marker": None}], "layout": figure["layout"]})


def test_each_run_has_its_own_bars(tmp_path):
    runs = [with_rates(FINDINGS["one rate"], "one"), with_rates(FINDINGS["head alone"], "two")]
    page = read(write_report([*runs, History({"step": [0], "loss": [1.0]})], tmp_path / "r.html"))
    assert {i for i in drawn(page) if "found" in i} == {"picture-found-0", "picture-found-1"}


def test_rates_that_can_not_be_read_are_said(tmp_path):
    history = History({"step": [0], "loss": [1.0]}, name="old", found_rates={"layerwise": "older"})
    page = read(write_report(history, tmp_path / "old.html"))
    assert any("The finding of the run old can't be read" in t for t in page.texts["p"])


def test_a_hundred_layers_and_a_hundred_thousand_steps_stay_small(tmp_path):
    random, steps = np.random.default_rng(0), np.arange(100_000)
    loss = 2 / (1 + steps / 2_000) + random.standard_normal(len(steps)) ** 2
    loss[54_321] = 77.0
    batch = {"step": steps, "loss": loss, "accuracy": random.random(len(steps))}
    for layer in range(100):
        course = 0.95**layer * (1 + np.cos(np.pi * steps / len(steps)))
        batch[f"rates/encoder/layer_{layer}/attention/kernel"] = course
        batch[f"ratios/encoder/layer_{layer}"] = course * random.random(len(steps))
    batch["ratios/encoder/layer_42"][33_333] = 123.0
    path = write_report(History(batch, name="long"), tmp_path / "long.html")
    assert path.stat().st_size < 5e6
    by_id = {figure["id"]: figure for figure in figures(read(path))}
    assert max(by_id["picture-loss"]["data"][0]["y"]) == 77
    ratios = by_id["picture-ratios-0"]["data"][0]["customdata"]
    assert np.unravel_index(np.argmax(ratios), np.shape(ratios))[0] == 42
    assert np.max(ratios) == 123
    # Responsive: what a browser has to draw is bounded, however long the run.
    assert sum(len(t["x"]) for f in by_id.values() for t in f["data"]) < 10_000


@pytest.mark.parametrize(
    ("runs", "words"),
    [([], "no runs"), (["nowhere"], "no record"), ("nowhere", "no record")],
)
def test_what_is_no_run_is_refused(tmp_path, monkeypatch, runs, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecorderError, match=words):
        write_report(runs, tmp_path / "no.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_can_not_be_written(tmp_path):
    with pytest.raises(RecorderError, match="can't be written"):
        write_report(History({"step": [0], "loss": [1.0]}), tmp_path / "no" / "folder.html")


@pytest.mark.parametrize("missing", ["jinja2", "plotly.offline"])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(RecorderError, match=r'pip install "layerwise\[report\]"'):
        write_report(History({"step": [0], "loss": [1.0]}), tmp_path / "no.html")
    assert list(tmp_path.iterdir()) == []


def test_writing_again_replaces_the_page(tmp_path):
    history = History({"step": [0, 1], "loss": [2.0, 1.0]}, name="again")
    first = write_report(history, tmp_path / "page.html").read_bytes()
    assert write_report(history, tmp_path / "page.html").read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
