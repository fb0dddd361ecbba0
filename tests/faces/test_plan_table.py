import io
import subprocess
import sys
import textwrap

import pytest
from rich.console import Console

from layerwise._numbers import number_text
from layerwise._plan_table import SCREEN, fold, plan_text
from layerwise.cli._ending import show
from layerwise.multipliers import Parameter, gradual_unfreezing, layer_decay, resolve
from layerwise.schedules import cosine, piecewise_constant


def vit(blocks):
    layers = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    owners = [f"blocks.{i}.{layer}" for i in range(blocks) for layer in layers]
    names = ["cls_token", "pos_embed"]
    names += [f"{o}.{w}" for o in ["patch_embed.proj", *owners, "norm", "head"] for w in WEIGHTS]
    return [Parameter(n, (768,), weight_decay=0.05 if n.endswith("weight") else 0.0) for n in names]


WEIGHTS = ("weight", "bias")
SMALL = [
    Parameter("conv/kernel", (3, 3, 1, 16), weight_decay=1e-4),
    Parameter("conv/bias", (16,)),
    Parameter("head/kernel", (16, 10), weight_decay=1e-4),
    Parameter("scale"),
]


def test_a_small_plan_in_full():
    rules = {"conv": 0, "head": 0.5, "scale": cosine(100)}
    plan = resolve(SMALL, rules, learning_rate=1e-3, steps=(50,))
    expected = """
                                                                 weight
 parameter    shape     rule    multiplier  rate @ 0  rate @ 50   decay
 ───────────────────────────────────────────────────────────────────────────────
 conv/kernel  3x3x1x16  conv             0         0          0    1e-4  frozen
 conv/bias    16        conv             0         0          0          frozen
 head/kernel  16x10     head           0.5      5e-4       5e-4    1e-4
 scale        scalar    scale  cosine(100)      1e-3       5e-4
4 parameters, 3 different multipliers, 2 frozen, base rate 1e-3
"""
    assert plan_text(plan, 100) == expected.strip("\n")


def test_five_hundred_parameters_fit_a_screen_and_say_what_is_true():
    parameters = vit(blocks=41)
    assert len(parameters) == 500
    plan = resolve(parameters, {"blocks.": 0.1, "blocks.0.": 0}, separator=".", learning_rate=1e-3)
    text = plan_text(plan, 100)
    assert len(text.splitlines()) <= SCREEN + 5
    rows = [line.split() for line in text.splitlines()]
    assert ["blocks.….weight", "240", "parameters", "blocks.", "0.1", "1e-4", "0.05"] in rows
    assert ["blocks.0.….bias", "6", "parameters", "blocks.0.", "0", "0", "0", "frozen"] in rows
    assert ["head.bias", "768", "1", "1e-3", "0"] in rows


@pytest.mark.parametrize("blocks", [1, 3, 12, 24, 41, 100])
@pytest.mark.parametrize(
    "rules",
    [
        {},
        layer_decay(0.75),
        [layer_decay(0.75), gradual_unfreezing(100)],
        {"blocks.": 0.1, "head": 2},
        {f"blocks.{i}.": 1 / (i + 1) for i in range(1)},
    ],
    ids=repr,
)
def test_however_large_it_fits_a_screen_and_each_parameter_is_in_one_line(blocks, rules):
    plan = resolve(vit(blocks), rules, separator=".", learning_rate=1e-3, steps=(100, 1000))
    lines = fold(plan)
    assert sorted(place for line in lines for place in line.rows) == list(range(len(plan.rows)))
    assert len(lines) <= SCREEN
    # Two lines of head, one below it, one of caption, and a long rule may take two more.
    assert len(plan_text(plan, 120).splitlines()) <= SCREEN + 6


def test_folding_goes_no_further_than_needed():
    plan = resolve(vit(12), layer_decay(0.75), separator=".")
    lines = {line.label: len(line.rows) for line in fold(plan)}
    assert lines["blocks.0.….weight"] == 6
    assert lines["blocks.11.….bias"] == 6
    assert lines["cls_token"] == 1
    # Blocks on a line each, whatever the weight decay; then norm and head, too.
    assert len(fold(plan, screen=19)) == 19
    assert len(fold(plan, screen=18)) == 17
    # All blocks on one line.
    assert len(fold(plan, screen=10)) == 6


def test_what_shares_a_line_has_the_same_settings_or_shows_what_there_is():
    text = plan_text(resolve(vit(41), layer_decay(0.5), separator=".", learning_rate=1e-3), 120)
    blocks = next(line.split() for line in text.splitlines() if line.startswith(" blocks"))
    assert " ".join(blocks).startswith("blocks.… 492 parameters")
    assert f"{0.5**41:.1e} … 0.5" in " ".join(blocks)
    assert "0, 0.05" in " ".join(blocks)


def test_different_rules_and_frozen_parameters_never_share_a_line():
    parameters = [Parameter(f"a/w{i}", trainable=bool(i % 2)) for i in range(60)] + [
        Parameter(f"b/w{i:02}") for i in range(60)
    ]
    plan = resolve(parameters, {f"b/w{i:02}": 0.5 for i in (1, 2)})
    for line in fold(plan, screen=6):
        assert len({(plan.rows[p].rule, plan.rows[p].frozen) for p in line.rows}) == 1


def test_more_different_rules_than_lines_are_counted():
    parameters = [Parameter(f"w{i:03}") for i in range(100)]
    plan = resolve(parameters, {p.name: i / 10 for i, p in enumerate(parameters)})
    text = plan_text(plan, 100)
    assert "60 more parameters" in text
    assert len(text.splitlines()) <= SCREEN + 5


def test_long_schedules_and_rules_are_kept_short():
    schedule = piecewise_constant([10, 20, 30], [1.0, 0.5, 0.25, 0.1])
    text = plan_text(resolve(SMALL[:2], {"conv": schedule}), 100)
    assert "a schedule" in text
    assert "piecewise" not in text
    text = plan_text(resolve(SMALL[:3], [layer_decay(0.5), gradual_unfreezing(10)]), 100)
    assert text.count("layer_decay") == 1


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_it_keeps_within_the_width_and_loses_no_number(width):
    rules = [layer_decay(0.75), {"head": 0}]
    plan = resolve(vit(12), rules, separator=".", learning_rate=1e-3)
    text = plan_text(plan, width)
    assert max(map(len, text.splitlines())) <= width
    for part in ("0.02376", "2.376e-5", "0.05", "frozen"):
        assert part in text


@pytest.mark.parametrize("width", [10, 30, 40, 60, 80, 120])
@pytest.mark.parametrize("name", ["backbone/block_1/kernel", "sequential/" + "encoder/" * 6])
def test_many_steps_stand_in_blocks_and_no_number_loses_a_digit(width, name):
    steps = tuple(range(0, 9001, 1000))
    plan = resolve(
        [Parameter(name, (8, 4)), Parameter("head/kernel", (4, 2))],
        {name[:8]: 0.1},
        learning_rate=1e-3,
        schedule=cosine(10_000),
        steps=steps,
    )
    text = plan_text(plan, width)
    words = text.split()
    columns = plan.to_dict()
    for step in steps:
        assert f"rate @ {step}" in text
        assert all(number_text(rate) in words for rate in columns[f"rate @ {step}"])
    starts = [line.split()[0] for line in text.splitlines()]
    assert starts.count("parameter") == starts.count("head/kernel") > (width < 120)
    assert max(map(len, text.splitlines())) <= max(width, 45)


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_function_with_a_long_name_takes_no_column_away(width):
    def a_very_long_name_of_a_function_that_is_a_multiplier(step):
        return 0.5

    plan = resolve(
        [Parameter("body/kernel", (8, 4)), Parameter("head/kernel", (4, 2))],
        {"body": a_very_long_name_of_a_function_that_is_a_multiplier},
        learning_rate=1e-3,
        steps=(0, 10, 20),
    )
    text = plan_text(plan, width)
    assert all(f"rate @ {step}" in text for step in (0, 10, 20))
    assert text.count("5e-4") == 3


def test_str_follows_the_terminal_and_rich_prints_the_same(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    plan = resolve(SMALL, {"conv": 0.5}, learning_rate=1e-3)
    assert str(plan) == plan_text(plan, 100)
    console = Console(width=100, record=True, color_system=None, quiet=False, force_jupyter=False)
    with console.capture() as captured:
        console.print(plan)
    lines = [line.rstrip() for line in captured.get().splitlines() if line.strip()]
    assert lines == str(plan).splitlines()


def test_names_are_not_read_as_markup():
    plan = resolve([Parameter("[bold]/kernel")], {"[bold]": 0.5})
    assert "[bold]/kernel" in plan_text(plan, 100)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(plan)
    assert "[bold]/kernel" in captured.get()


def test_an_empty_plan_prints():
    assert "0 parameters" in str(resolve([]))


def test_a_file_that_can_write_no_rule_gets_hyphens(monkeypatch):
    file = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")  # as Windows writes into a file
    monkeypatch.setattr(sys, "stdout", file)
    text = str(resolve(SMALL, {"conv": 0}))
    monkeypatch.undo()
    assert "-" * 20 in text
    file.write(text)  # nothing that it can't encode
    assert text.replace("-", "─") == str(resolve(SMALL, {"conv": 0})).replace("-", "─")


def test_without_rich_it_says_how_to_get_it():
    code = """
        import sys
        sys.modules["rich"] = None
        from layerwise.multipliers import Parameter, resolve
        print(resolve([Parameter("a")]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines() == [
        "<Plan: 1 parameter, 1 multiplier, 0 frozen>",
        'To see it as a table: pip install "layerwise[cli]"',
    ]


@pytest.mark.parametrize(
    "show", ["str(plan)", "plan._repr_html_()", "list(plan.__rich_console__(0, options))"]
)
def test_the_first_table_leaves_the_random_numbers_as_they_are(show):
    code = f"""
        import random
        from types import SimpleNamespace
        from layerwise.multipliers import Parameter, resolve
        plan, options = resolve([Parameter("a")]), SimpleNamespace(max_width=80)
        before = random.getstate()
        {show}
        print(random.getstate() == before)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "True"


@pytest.mark.parametrize("columns", ["1", "20", "30", "-5", "abc"])
def test_a_narrow_pipe_or_terminal_takes_no_digit_away(monkeypatch, capsys, columns):
    plan = resolve(SMALL, {"conv": 0.125}, learning_rate=1e-3, steps=(1000,))
    monkeypatch.setenv("COLUMNS", columns)
    show(plan)
    piped = capsys.readouterr().out
    console = Console(width=20, color_system=None)
    with console.capture() as captured:
        console.print(plan, crop=False)
    for text in (piped, captured.get()):
        assert "multiplier" in text
        assert text.count(" 0.125") == 2
        assert text.count("1.25e-4") == 4
        assert "rate @ 1000" in text
