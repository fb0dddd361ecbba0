"""The table, the sentence and the progress bar say what was measured and nothing else."""

import io

import pytest
from rich.console import Console

from layerwise.demo import (
    WAYS,
    Comparison,
    Reached,
    Result,
    Settings,
    progress,
    verdict,
    ways_table,
)
from layerwise.finder import LRFinding
from layerwise.multipliers import Parameter, resolve
from tests._support import rates

MEASURED = {  # rate, losses, accuracies
    "single rate": (0.003, (0.3, 0.4, 0.5), (0.90, 0.91, 0.92)),
    "frozen backbone": (0.01, (0.6, 0.5, 0.4), (0.88, 0.93, 0.89)),
    "layer-wise rates": (0.03, (0.3, 0.3, 0.3), (0.93, 0.94, 0.94)),
    "rates found": (0.02, (0.2, 0.2, 0.1), (0.91, 0.92, 0.92)),
    "from scratch": (0.001, (0.9, 0.9, 0.9), (0.85, 0.80, 0.84)),
}
TILTS = (1.0, 0.3, 1.0)


def found(rate):
    return LRFinding(
        rates=(rate,),
        losses=(1.0,),
        smoothed=(1.0,),
        stopped="diverged",
        suggestion=rate,
        method="probe",
        reason="",
    )


def found_rates(rate, tilt=0.3):
    return rates.found(tilt, learning_rate=rate)


def reached(way, rate, draw, loss, accuracy):
    if way.rules is None:
        finding = found_rates(rate, TILTS[draw])
        return Reached(finding, finding.rules, rate, loss, accuracy)
    return Reached(found(rate), way.rules, rate, loss, accuracy)


def measured(numbers=MEASURED, spread=(1.0, 1.0, 1.0)):
    """What was measured; the rates of the draws are the given one times ``spread``."""
    results = tuple(
        Result(
            way,
            tuple(
                reached(way, rate * factor, draw, losses[draw], accuracies[draw])
                for draw, factor in enumerate(spread)
            ),
        )
        for way in WAYS
        for rate, losses, accuracies in [numbers[way.name]]
    )
    plan = resolve([Parameter("head/kernel")], {})
    return Comparison("jax", Settings(seeds=len(results[0].draws), steps=70), 997, results, plan)


def changed(**accuracies):
    names = {name.replace(" ", "_").replace("-", "_"): name for name in MEASURED}
    other = {names[key]: (0.01, (0.5,) * 3, values) for key, values in accuracies.items()}
    return measured(MEASURED | other)


def cells(shown):
    return list(zip(*(column.cells for column in shown.columns), strict=True))


def text_of(shown, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    return console.file.getvalue()


def test_the_table_has_what_was_measured():
    assert cells(ways_table(measured())) == [
        ("  single rate", "{}", "3e-3", "0.400", "0.910 ± 0.010", ""),
        ("  frozen backbone", "{'backbone': 0}", "0.01", "0.500", "0.900 ± 0.026", "1 of 3"),
        ("★ layer-wise rates", "layer_decay(0.3)", "0.03", "0.300", "0.937 ± 0.006", "3 of 3"),
        ("  rates found", "0.3 (1), even (2)", "0.02", "0.167", "0.917 ± 0.006", "2 of 3"),
        ("  from scratch", "{}", "1e-3", "0.900", "0.830 ± 0.026", "0 of 3"),
    ]


def test_the_rate_in_the_table_is_the_geometric_mean():
    comparison = measured(spread=(0.1, 1.0, 10.0))
    assert comparison.results[0].rate == pytest.approx(0.003, rel=1e-12)
    assert cells(ways_table(comparison))[0][2] == "3e-3"


def test_the_mark_is_on_the_best_whichever_it_is():
    shown = ways_table(changed(frozen_backbone=(0.95, 0.96, 0.97)))
    marked = [row[0] for row in cells(shown) if "★" in row[0]]
    assert marked == ["★ frozen backbone"]


def test_the_table_fits_a_terminal_of_80_columns():
    lines = text_of(ways_table(measured())).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("layer-wise rates" in line and "0.937 ± 0.006" in line for line in lines)


def test_the_caption_says_how_it_was_measured():
    said = " ".join(text_of(ways_table(measured())).split())
    assert "accuracy on 997 images after 70 steps on jax" in said
    assert "over 3 draws" in said
    assert "geometric mean of what is found in each draw" in said


def test_the_sentence_names_a_clear_winner():
    assert verdict(measured()) == (
        "This time layer-wise rates came first with 0.937 right, ahead of rates found by 0.020, "
        "and better in 3 of 3 draws; the lead is more than twice its standard error of 0.000. "
        "Rates found had the lowest loss, 0.167; layer-wise rates came second with 0.300."
    )


def test_the_sentence_says_when_it_could_be_chance():
    said = verdict(changed(single_rate=(0.96, 0.92, 0.91), layer_wise_rates=(0.90, 0.94, 0.94)))
    first = "This time single rate came first with 0.930 right, ahead of layer-wise"
    assert said.startswith(first)
    assert "better in 1 of 3 draws; the lead is too close to call" in said


def test_one_draw_has_no_spread():
    one = measured(spread=(1.0,))
    assert cells(ways_table(one))[2][4:] == ("0.930", "1 of 1")
    assert (
        "better in 1 of 1 draw; one draw says little. Rates found had the lowest loss"
        in verdict(one)
    )
    assert one.to_dict()["ways"][0]["spread"] is None


@pytest.mark.parametrize("terminal", [True, False])
def test_the_progress_bar_shows_what_is_running(terminal):
    settings = Settings(seeds=1, steps=10, pretraining=20)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with progress(settings, console) as advance:
        advance("pretraining", 20)
        advance("from scratch", settings.updates - 20)
    assert ("from scratch" in console.file.getvalue()) is terminal
