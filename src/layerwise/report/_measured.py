"""Loss and metrics over the step: each batch, the moving average, and the validation."""

from collections.abc import Sequence

import numpy as np

from layerwise._numbers import NOTHING, number_text, whole_text
from layerwise._series import Floats, falls_by_decades, window_of
from layerwise.report._facts import metrics_of
from layerwise.report._lines import (
    EPOCH,
    STEP,
    Rows,
    Trace,
    axes,
    listed,
    run_line,
    said_of,
    table_note,
    table_places,
    table_rows,
)
from layerwise.report._picture import Picture, Table
from layerwise.report._run import VALIDATION, Run

MOST_PICTURES = 24
"""How many metrics are drawn. More are a table, since a browser draws few pictures a second."""

CIRCLES = ("circles: each epoch", "circles: the validation after each epoch")


def loss(runs: Sequence[Run]) -> list[Picture]:
    """The loss of every batch, its moving average, and the validation's loss."""
    return _picture(runs, "loss", "Loss", "picture-loss", 380)


def metrics(runs: Sequence[Run]) -> list[Picture]:
    """A picture for each metric, as far as they are not too many."""
    return [
        picture
        for place, name in enumerate(metrics_of(runs)[:MOST_PICTURES])
        for picture in _picture(runs, name, name, f"picture-metric-{place}", 300)
    ]


def other_metrics(runs: Sequence[Run]) -> Table | None:
    """A table of the metrics that have no picture."""
    rows = Rows()
    for name in metrics_of(runs)[MOST_PICTURES:]:
        for variant in (name, f"{VALIDATION}{name}"):
            for run in runs:
                if len(known := _known(run.shown(variant)[1])):
                    ends = known[0], known[-1], known.min(), known.max()
                    rows.add(run, [(variant, run.name, *map(number_text, ends))])
    return rows.table(("metric", "run", "first", "last", "lowest", "highest")) if rows else None


def _picture(runs: Sequence[Run], column: str, title: str, name: str, height: int) -> list[Picture]:
    """The picture of a column, if any run has a finite value in it."""
    recorded = [run for run in runs if column in run.batch or _of_epochs(run, column)]
    data: list[Trace] = []
    rows = Rows()
    along = EPOCH if all(run.is_by_epoch for run in recorded) else STEP
    notes: list[str] = []
    words: list[str] = []
    looks: dict[str, None] = {}
    curves: list[Floats] = []
    seen = 0
    for run in recorded:
        steps, values = run.by_batch(column)
        averages = run.shown(column)[1]
        if len(values):
            seen += len(values)
            traces = _batches(run, steps, values, averages, len(recorded))
            looks |= dict.fromkeys(["thin: each batch", "thick: the moving average"][: len(traces)])
            data += traces
            rows.add(run, table_rows(run, steps, len(recorded), values, averages))
            words.append(said_of(run, runs, _from_to(averages)))
            curves.append(averages)
        for kind in _of_epochs(run, column):
            steps, values = run.shown(kind)
            if along == EPOCH:
                steps = run.epochs_of(kind)
            data.append(_epochs(run, kind, steps, values, along))
            if np.isfinite(values).any() and not np.isfinite(steps[np.isfinite(values)]).any():
                notes.append(f"{run.name}: nobody knows at which step {kind} was measured, so that "
                             "the table alone has it.")  # fmt: skip
            seen += len(values)
            name_of_row = f"{run.name}, {kind}"
            rows.add(
                run,
                (
                    (name_of_row, whole_text(steps[at]), number_text(values[at]), NOTHING)
                    for at in table_places(values, len(recorded))
                ),
            )
            if column not in run.batch:
                words.append(said_of(run, runs, f"{kind} {_from_to(values)}"))
            looks[CIRCLES[kind.startswith(VALIDATION)]] = None
            curves.append(values)
    if not any(np.isfinite(values).any() for values in curves):
        return []
    picture = Picture(
        name,
        title,
        f"{listed(words)} {_sentence(looks)}".strip(),
        tuple(data),
        axes(column, falls_by_decades(curves), along),
        rows.table(
            ("run", along.partition(" ")[0], column, "moving average"), table_note(seen, len(rows))
        ),
        height=height,
        notes=tuple(notes),
    )
    return [picture]


def _of_epochs(run: Run, column: str) -> list[str]:
    """The columns of epochs to draw: the validation, and the epochs' own if batches have none."""
    names = [f"{VALIDATION}{column}"]
    if column not in run.batch:
        names.insert(0, column)
    measured = [name for name in names if name in run.epoch]
    if names[-1] in run.batch and names[-1] not in measured:
        measured.append(names[-1])  # a validation in the middle of an epoch
    return measured


def _batches(run: Run, steps: Floats, values: Floats, averages: Floats, shared: int) -> list[Trace]:
    """The values, and their moving average if its window is wider than one value."""
    if window_of(len(values)) == 1:
        return [run_line(run, steps, values, shared=shared)]
    raw = run_line(run, steps, values, shared=shared, width=1.0)
    del raw["hovertemplate"]
    raw |= {"opacity": 0.3, "hoverinfo": "skip"}
    return [raw, run_line(run, steps, averages, shared=shared, width=2.4)]


def _epochs(run: Run, kind: str, steps: Floats, values: Floats, along: str) -> Trace:
    trace = run_line(run, steps, values, shared=1, width=1.4)
    if along == EPOCH:
        trace["hovertemplate"] = trace["hovertemplate"].replace("at step", "at epoch")
    colour = trace["line"]["color"]
    trace["line"]["dash"] = "dot"
    circles = {"size": 7, "color": "@surface", "line": {"color": colour, "width": 1.8}}
    return trace | {"name": f"{run.name}, {kind}", "mode": "lines+markers", "marker": circles}


def _from_to(values: Floats) -> str:
    known = _known(values)
    if not len(known):
        return "no finite value"
    return f"from {number_text(known[0], 3)} to {number_text(known[-1], 3)}"


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _sentence(looks: dict[str, None]) -> str:
    # A single kind of line needs no explanation.
    text = "; ".join(looks) if len(looks) > 1 else ""
    return f"{text[:1].upper()}{text[1:]}." if text else ""
