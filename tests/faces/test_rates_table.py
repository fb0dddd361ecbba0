"""The table of rates that were found: what it says, in how many characters, and without Rich."""

import subprocess
import sys

import pytest
from rich.console import Console

from layerwise._rates_shown import bands_in_words
from layerwise._rates_table import rates_text
from layerwise.finder import Band
from tests._support.rates import FINDINGS, NO_ANSWER, found


def test_all_of_it():
    expected = """
Base rate 0.01, later layers faster (0.3)
 band (parameters)     multiplier   as good    rate  the held-out loss says
 ───────────────────────────────────────────────────────────────────────────
 backbone/block_0 (2)      8.1e-3  0 … 0.13  8.1e-5  further: -0.02 ± 4e-3
 backbone/block_1 (2)       0.027  0 … 0.22  2.7e-4  less far: 0.061 ± 0.01
 backbone/block_2 (2)        0.09  0 … 0.36    9e-4  as it is: 0.01 ± 0.02
 backbone/block_3 (2)         0.3   0 … 0.6    3e-3  once: 0.01
 head (2)                       1         —    0.01  —
Of 18 probes of 96 updates, it had the lowest held-out loss.
The best single rate is 0.0316.
For a training whose rate goes to 0. The search took 18 probes, 1,728
updates.
"""
    assert rates_text(found(0.3), 80) == expected.strip("\n")


@pytest.mark.parametrize("name", FINDINGS)
def test_eighty_columns_hold_every_word_of_it(name):
    finding = FINDINGS[name]
    text = rates_text(finding, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert finding.reason in " ".join(text.split())
    for cells in bands_in_words(finding):
        assert f" {cells.band} " in text
        assert f" {cells.rate} " in text


def test_one_rate_says_so_and_names_no_other():
    text = rates_text(found(), 80)
    assert text.startswith("One rate, 0.01\n")
    assert "best single rate" not in text


def test_a_frozen_band_says_so():
    rates = [cells.rate for cells in bands_in_words(FINDINGS["head alone"])]
    assert rates == ["frozen"] * 4 + ["0.01"]


def test_no_answer_has_no_number_that_could_be_taken_for_one():
    for cells in bands_in_words(NO_ANSWER):
        assert (cells.multiplier, cells.as_good, cells.rate) == ("—", "—", "—")
    text = rates_text(NO_ANSWER, 80)
    assert text.startswith("No answer\n")
    assert "best single rate" not in text


def test_it_says_that_the_user_stopped_it():
    assert "18 probes, 1,728 updates; stopped by the user." in " ".join(
        rates_text(FINDINGS["stopped"], 80).split()
    )
    assert "stopped" not in rates_text(found(), 80)


def test_names_are_text_on_one_line():
    odd = Band("[red]he\nad\x1b[2J" * 20, ("head",), 1.0, 1.0, 1.0)
    text = rates_text(found(count=1, bands=(odd,)), 80)
    assert "[red]" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_printing_it_and_a_console_give_the_same():
    console = Console(width=80, color_system=None)
    with console.capture() as page:
        console.print(found())
    lines = [line.rstrip() for line in page.get().splitlines() if line.strip()]
    assert lines == rates_text(found(), 80).splitlines()
    assert str(found()).splitlines()[0] == "One rate, 0.01"


def test_without_rich_there_is_the_reason():
    script = """
import sys
sys.modules["rich"] = None
from tests._support.rates import found
print(found())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert found().reason in done.stdout


@pytest.mark.parametrize("width", [1, 30, 50])
def test_a_narrow_terminal_takes_no_digit_away(width):
    finding = found(0.3)
    text = rates_text(finding, width)
    for cells in bands_in_words(finding):
        for number in cells.texts[1:4]:
            assert f" {number} " in text
