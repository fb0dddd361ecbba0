"""The page in a real browser: it draws everything, asks for nothing, and is for everybody."""

import json
import re

import numpy as np
import pytest

from layerwise.recorder import History
from layerwise.report import write_report
from tests._support.runs import EVIL, train

pytest.importorskip("selenium", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = {"one": 8, "two": 13}
DESK, PHONE = (1280, 900), (390, 844)
LOCAL = ("file:", "data:", "blob:", "about:", "chrome:")

# Which element has the focus, and whether one can see that.
FOCUS = """
const one = document.activeElement, style = getComputedStyle(one.closest("label") ?? one);
return {
  tag: one.tagName, text: one.textContent.trim(), run: one.dataset.run ?? null,
  seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
};
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    one = train(folder / "plain")
    evil = train(folder / "a<b>", names=(EVIL, "<b>head</b>"), metric="m<i>&amp;</i>", steps=120)
    return {
        "one": write_report(one, folder / "one.html"),
        "two": write_report([one, evil], folder / "two.html"),
    }


def show(browser, page, size=DESK, scheme="light", script=True):
    width, height = size
    phone = width < 500
    for command, options in {
        "Emulation.setDeviceMetricsOverride": {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": phone,
        },
        "Emulation.setEmulatedMedia": {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]
        },
        "Emulation.setTouchEmulationEnabled": {"enabled": phone},
        "Emulation.setScriptExecutionDisabled": {"value": not script},
    }.items():
        browser.execute_cdp_cmd(command, options)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())
    if script:
        wait(browser, "return document.documentElement.dataset.drawn === 'yes'")


def wait(browser, script):
    WebDriverWait(browser, 60).until(lambda b: b.execute_script(script))


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    [("one", DESK, "light"), ("two", DESK, "dark"), ("two", PHONE, "light")],
)
def test_every_figure_is_drawn_without_an_error_or_a_request(browser, pages, name, scheme, size):
    show(browser, pages[name], size, scheme)
    counts = browser.execute_script(
        "return [...document.querySelectorAll('.chart')].map((chart) => "
        "chart.querySelectorAll('.main-svg .scatterlayer .trace, .main-svg .barlayer .trace, "
        ".main-svg .hm image').length)"
    )
    assert len(counts) == PICTURES[name]
    assert 0 not in counts
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert pages[name].as_uri() in requests
    assert [url for url in requests if not url.startswith(LOCAL)] == []


def test_a_phone_scrolls_in_one_direction_only(browser, pages):
    show(browser, pages["two"], PHONE)
    browser.execute_script(
        "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
    )
    width, inner, charts = browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth, "
        "[...document.querySelectorAll('.chart > * > * > .main-svg')].map((s) => "
        "s.getBoundingClientRect().right)]"
    )
    assert inner == PHONE[0]
    assert width <= inner
    assert charts
    assert max(charts) <= inner


def test_figures_follow_the_width(browser, pages):
    show(browser, pages["one"])
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    wait(
        browser,
        "return [...document.querySelectorAll('.chart')].every((c) => "
        "c.querySelector('.main-svg').getBoundingClientRect().width <= 390)",
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def test_dark_and_light_are_followed(browser, pages):
    show(browser, pages["one"])
    read = (
        "return [getComputedStyle(document.body).backgroundColor, "
        "document.querySelector('#picture-loss .xtick text').style.fill, "
        "document.querySelector('#picture-loss .js-line').style.stroke]"
    )
    light = browser.execute_script(read)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    wait(browser, f"{read.removesuffix(']')}][2] !== '{light[2]}'")
    assert all(a != b for a, b in zip(light, browser.execute_script(read), strict=True))


def test_the_keyboard_reaches_everything_and_one_sees_where(browser, pages):
    show(browser, pages["two"])
    reached = []
    body = browser.find_element(By.TAG_NAME, "body")
    for _ in range(100):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        focus = browser.execute_script(FOCUS)
        if focus["tag"] == body.tag_name.upper():
            break
        reached.append(focus)
    assert all(focus["seen"] for focus in reached)
    assert reached[0]["text"] == "Skip to the content"
    # The buttons of the axis are one stop, in which the arrows go on.
    inputs = [(f["text"], f["run"]) for f in reached if f["tag"] == "INPUT"]
    assert inputs == [("", None), ("", "0"), ("", "1")]
    assert sum(f["tag"] == "BUTTON" for f in reached) == PICTURES["two"]
    assert sum(f["tag"] == "SUMMARY" for f in reached) == PICTURES["two"]
    links = [f["text"] for f in reached if f["tag"] == "A"]
    assert "Loss" in links
    assert "Update-to-weight ratios" in links


def test_tables_open_and_runs_hide_by_keyboard(browser, pages):
    show(browser, pages["two"])
    summary = browser.find_element(By.CSS_SELECTOR, "figure:has(#picture-loss) summary")
    summary.send_keys(Keys.ENTER)
    region = browser.find_element(By.CSS_SELECTOR, "details[open] [role=region]")
    assert region.is_displayed()
    assert len(region.find_elements(By.CSS_SELECTOR, "tbody tr")) > 10
    lines = "return document.querySelectorAll('#picture-loss .scatterlayer .trace').length"
    both = browser.execute_script(lines)
    browser.find_element(By.CSS_SELECTOR, "input[data-run='1']").send_keys(Keys.SPACE)
    wait(browser, f"{lines} < {both}")
    assert not browser.find_element(By.ID, "picture-rates-1").is_displayed()
    assert browser.find_element(By.ID, "picture-rates-0").is_displayed()
    browser.find_element(By.CSS_SELECTOR, "input[data-run='1']").send_keys(Keys.SPACE)
    wait(browser, f"{lines} === {both}")
    assert browser.find_element(By.ID, "picture-rates-1").is_displayed()


def test_a_picture_and_a_section_without_a_shown_run_are_hidden(browser, pages):
    show(browser, pages["two"])
    shown = (
        "return [...document.querySelectorAll('figure, main section')]"
        ".filter((one) => one.checkVisibility()).length"
    )
    before = browser.execute_script(shown)
    for box in browser.find_elements(By.CSS_SELECTOR, "input[data-run]"):
        box.send_keys(Keys.SPACE)
    # What was run, and the facts, are dim.
    assert browser.execute_script(shown) == 2
    assert len(browser.find_elements(By.CSS_SELECTOR, "main section")) > 2
    for box in browser.find_elements(By.CSS_SELECTOR, "input[data-run]"):
        box.send_keys(Keys.SPACE)
    assert browser.execute_script(shown) == before


def test_names_are_text_in_figures_too(browser, pages):
    show(browser, pages["two"])
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('#picture-rates-1 .ytick text')]"
        ".map((text) => text.textContent)"
    )
    assert ticks == [EVIL, "<b>head</b>"]
    assert browser.find_element(By.CSS_SELECTOR, "#picture-metric-1 .ytitle").text == (
        "m<i>&amp;</i>"
    )
    # Pointed at, too.
    chart = browser.find_element(By.CSS_SELECTOR, "#picture-rates-1 .nsewdrag")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    # The middle of the upper half: the first name's row.
    ActionChains(browser).move_to_element_with_offset(
        chart, 0, -chart.size["height"] // 4
    ).perform()
    wait(browser, "return document.querySelector('#picture-rates-1 .hovertext') !== null")
    label = browser.find_element(By.CSS_SELECTOR, "#picture-rates-1 .hovertext").text
    assert label.startswith(EVIL)
    assert (
        browser.execute_script("return document.querySelectorAll('figure b, figure i').length") == 0
    )


def test_paper_is_light_and_narrow(browser, pages):
    show(browser, pages["one"], scheme="dark")
    read = (
        "const svg = document.querySelector('#picture-loss .main-svg');"
        "return [svg.getAttribute('width'), getComputedStyle(document.body).backgroundColor]"
    )
    before = browser.execute_script(read)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    width, ground = browser.execute_script(read)
    assert float(width) < 700
    assert ground == "rgb(255, 255, 255)"
    browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(read) == before


def test_without_scripts_the_tables_are_there(browser, pages):
    show(browser, pages["one"], script=False)
    try:
        text = browser.find_element(By.TAG_NAME, "main").text
        assert "The pictures need JavaScript" in text
        assert not any(c.is_displayed() for c in browser.find_elements(By.CLASS_NAME, "chart"))
        assert len(browser.find_elements(By.TAG_NAME, "summary")) == PICTURES["one"]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    steps = np.arange(200)
    names = ["constructor", "__proto__", "</script>", "toString", "x" * 300]
    batch = {"step": steps, "loss": np.full(200, 1e308), "tiny": np.full(200, 5e-324)}
    batch |= dict.fromkeys(names, 1.0 + steps)
    batch |= {f"ratios/{name}": np.full(200, 1e308 / 10**at) for at, name in enumerate(names)}
    batch |= {f"rates/{name} {at}": np.full(200, 0.5**at) for at in range(3) for name in names}
    batch |= {f"metric {number}": 1.0 + steps for number in range(100)}
    runs = [History(batch, name=name) for name in ("__proto__", "run " + "y" * 300)]
    return write_report(runs, tmp_path_factory.mktemp("odd") / "odd.html")


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_odd_names_and_numbers_are_drawn(browser, odd, size):
    show(browser, odd, size)
    counts = browser.execute_script(
        "return [...document.querySelectorAll('.chart')].map((chart) => "
        "chart.querySelectorAll('.main-svg .scatterlayer .trace, .main-svg .barlayer .trace, "
        ".main-svg .hm image').length)"
    )
    assert len(counts) == 1 + 24 + 2 + 2
    assert 0 not in counts
    assert browser.get_log("browser") == []
    width, inner = browser.execute_script(
        "return [document.documentElement.scrollWidth, innerWidth]"
    )
    assert width <= inner
    ticks = browser.execute_script(
        "return [...document.querySelectorAll('#picture-ratios-0 .ytick text')]"
        ".map((text) => text.textContent)"
    )
    assert ticks[:4] == ["constructor", "__proto__", "</script>", "toString"]
    assert ticks[4].startswith("xxx")


def test_one_figure_that_can_not_be_drawn_leaves_the_others(browser, pages, tmp_path):
    # Plotly refuses a heat map whose rows are no list.
    text = pages["one"].read_text(encoding="utf-8")
    spoiled = tmp_path / "spoiled.html"
    broken = re.sub(r'"customdata":\[\[', '"customdata":7,"was":[[', text, count=1)
    assert broken != text
    spoiled.write_text(broken, encoding="utf-8")
    show(browser, spoiled)
    drawn, hidden = browser.execute_script(
        "return [[...document.querySelectorAll('.chart[data-drawn=yes]')].length, "
        "[...document.querySelectorAll('.chart[hidden]')].map((chart) => chart.id)]"
    )
    assert drawn == PICTURES["one"] - 1
    assert len(hidden) == 1
    remark = browser.find_element(By.CSS_SELECTOR, f"figure:has(#{hidden[0]}) > .remark")
    assert remark.text == "This picture can't be drawn. The table holds what it shows."
    assert not browser.find_element(By.ID, "no-pictures").is_displayed()


def test_pictures_over_steps_epochs_and_time(browser, pages):
    show(browser, pages["two"])
    read = (
        "return [...document.querySelectorAll('#picture-loss, #picture-groups-0')]"
        ".map((c) => [c.querySelector('.xtitle').textContent, Math.max(...c.data[0].x)])"
    )
    before = browser.execute_script(read)
    assert before == [["step (updates applied)", 299]] * 2
    browser.find_element(By.CSS_SELECTOR, "input[value=epoch]").click()
    wait(browser, f"{read.replace('return ', 'return (')})[1][0] === 'epoch'")
    # 60 updates make an epoch: the last batch begins a sixtieth before the end of the fifth.
    for title, last in browser.execute_script(read):
        assert title == "epoch"
        assert last == pytest.approx(5 - 1 / 60, abs=1e-3)
    browser.find_element(By.CSS_SELECTOR, "input[value=step]").click()
    wait(browser, f"{read.replace('return ', 'return (')})[1][0] !== 'epoch'")
    assert browser.execute_script(read) == before


def test_rows_of_a_hidden_run_are_dim(browser, pages):
    show(browser, pages["two"])
    browser.find_element(By.CSS_SELECTOR, "input[data-run='1']").send_keys(Keys.SPACE)
    dim = "return [...document.querySelectorAll('.off')].map((row) => row.dataset.row)"
    assert set(browser.execute_script(dim)) == {"1"}
    names = browser.execute_script(
        "return ['.about > .run', '.facts tbody tr', 'figure:has(#picture-loss) tbody tr', "
        "'figure:has(#picture-finder) tbody tr'].map((rows) => [...document.querySelectorAll(rows)]"
        ".map((row) => [row.querySelector('td, th, h3').textContent.trim().split(', ')[0], "
        "row.classList.contains('off')]))"
    )
    for rows in names:
        assert {tuple(row) for row in rows} == {("plain", False), ("a<b>", True)}
    browser.find_element(By.CSS_SELECTOR, "input[data-run='1']").send_keys(Keys.SPACE)
    assert browser.execute_script(dim) == []


def test_a_picture_is_saved(browser, pages, tmp_path):
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    show(browser, pages["one"])
    browser.find_element(By.CSS_SELECTOR, ".save[data-picture=picture-loss]").click()
    WebDriverWait(browser, 60).until(lambda _: list(tmp_path.glob("*.png")))
    [file] = tmp_path.glob("*.png")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert "loss" in file.name
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_long_names_that_differ_in_the_middle_look_different(browser, tmp_path, size):
    names = [f"bert.encoder.layer.{i}.attention.output.dense.weight" for i in range(12)]
    ratios = {f"ratios/{name}": np.full(9, 1e-3) for name in [*names, "bert.pooler.weight"]}
    runs = [History({"step": np.arange(9)} | ratios, name=name) for name in ("one", "two")]
    show(browser, write_report(runs, tmp_path / "page.html"), size)
    texts = browser.execute_script(
        "return [...document.querySelectorAll('#picture-ratios-0 .ytick text')]"
        ".map((text) => text.textContent)"
    )
    assert len(texts) == 13
    assert len(set(texts)) == 13
    assert texts[10].count("10") == 1
    assert texts[-1].startswith("bert.p")
