"""The lines of a record: strict JSON, one value a line, each written at once.

    {"layerwise": "record", "version": 1, "started": 1760000000.0}
    {"columns": ["step", "epoch", "time", "loss", "rate", "rates/body"], "of": "batch", "id": 0}
    [0, 0, 0, 0.0120, 2.31, 0.001, 0.0001]
    {"resume": {"step": 0}}

A row starts with the id of its columns, which are written once. A ``resume`` line takes back what
was recorded of steps that are trained again, so that a file is only ever appended to: from step N
on, batch rows with a step of N or more that stand *before* the line are void, and so are the rows
of epochs that ended after N. Ids count anew after a resume; a later line wins.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from layerwise.errors import RecorderError

VERSION = 1
FILE = "record.jsonl"
STEP, EPOCH, TIME, LOSS, RATE = "step", "epoch", "time", "loss", "rate"
RATES, RATIOS = "rates/", "ratios/"

_START = '{"layerwise": "record"'


def header_line(started: float) -> str:
    """The first line of a file, with the moment at which its times begin, in Unix seconds."""
    return f'{_START}, "version": {VERSION}, "started": {started!r}}}\n'


def columns_line(number: int, kind: str, columns: Sequence[str]) -> str:
    """What the rows that start with this number have in them: ``batch`` or ``epoch`` rows."""
    return json.dumps({"columns": list(columns), "of": kind, "id": number}) + "\n"


def resume_line(where: str, number: int) -> str:
    """Training goes on from this step; or, where no steps are known, from this epoch."""
    return json.dumps({"resume": {where: number}}) + "\n"


def row_template(number: int, columns: Sequence[str]) -> str:
    """What turns the numbers of such a row into its line, by ``%``.

    Losses, metrics and base rates keep every bit. The rates of groups and the ratios, of which
    there may be hundreds, have nine digits, from which every float32 comes back exactly: Python's
    shortest exact text of a float takes three times as long.
    """
    return f"[{number}, {', '.join(map(_place, columns))}]\n"


def row_line(template: str, values: Sequence[float]) -> str:
    """One row."""
    # A sum tells of every nan and inf in one call; if it overflows, the slow way is right too.
    if math.isfinite(sum(values)):
        return template % tuple(values)
    number = int(template[1 : template.index(",")])
    return json.dumps([number, *map(strict, values)]) + "\n"


def _place(column: str) -> str:
    if column in (STEP, EPOCH):
        return "%d"
    if column == TIME:
        return "%.4f"
    return "%.9g" if column.startswith((RATES, RATIOS)) else "%r"


def strict(value: Any) -> Any:
    """Plain data as strict JSON has it: ``nan`` and ``inf`` as text, tuples as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(float(value))
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def check_header(line: bytes, path: object) -> float:
    """When the record with this first line started.

    Raises:
        RecorderError: It is no record, or one of a newer Layerwise.
    """
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("layerwise") != "record":
        raise RecorderError(
            f"{path} is no record of Layerwise: its first line is {line[:60]!r}. Choose another "
            "run folder, or move that file away."
        )
    if header.get("version") != VERSION:
        raise RecorderError(
            f"{path} is a record of version {header.get('version')!r}; this Layerwise knows "
            f"version {VERSION}. Install the Layerwise that wrote it, or a newer one."
        )
    return float(header.get("started", 0.0))


def is_torn_header(text: bytes) -> bool:
    """Whether a file without a single whole line is ours: killed while it was being started."""
    start = _START.encode()
    return text.startswith(start) or start.startswith(text)
