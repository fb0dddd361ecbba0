"""The lines of a record: strict JSON, one value a line.

    {"layerwise": "record", "version": 1, "started": 1760000000.0}
    {"columns": ["step", "epoch", "time", "loss", "rate", "rates/body"], "of": "batch", "id": 0}
    [0, 0, 0, 0.0120, 2.31, 0.001, 0.0001]
    {"resume": {"step": 0}}

A row starts with the id of its columns, which are written once. The file is only ever appended
to. So when training goes back to step N, a ``resume`` line makes rows void that stand *before* it:
those of batches with a step of N or more, and those of epochs that ended after N. A process that
opens the record again may use an id for other columns: the latest ``columns`` line counts.
"""

import json
import math
from collections.abc import Mapping, Sequence

from layerwise._checks import version as check_version
from layerwise.errors import RecorderError

VERSION = 1
FILE = "record.jsonl"
STEP, EPOCH, TIME, LOSS, RATE = "step", "epoch", "time", "loss", "rate"
NO_METRICS = {STEP, EPOCH, TIME, LOSS, RATE}
RATES, RATIOS, VALIDATION = "rates/", "ratios/", "val_"

_START = '{"layerwise": "record"'


def header_line(started: float) -> str:
    """The first line of a file; the times of its rows count from ``started``, in Unix seconds."""
    return f'{_START}, "version": {VERSION}, "started": {started!r}}}\n'


def columns_line(number: int, kind: str, columns: Sequence[str]) -> str:
    """The line that declares the columns of the ``batch`` or ``epoch`` rows with this id."""
    return json.dumps({"columns": list(columns), "of": kind, "id": number}) + "\n"


def resume_line(where: str, number: int) -> str:
    """The line that says that training goes on from this step, or from this epoch."""
    return json.dumps({"resume": {where: number}}) + "\n"


def row_template(number: int, columns: Sequence[str]) -> str:
    """The template that makes a line of a row's numbers by ``%``.

    Losses, metrics and base rates keep every bit. The rates of groups and the ratios, of which
    there may be hundreds, have nine digits, which is exact for float32 and three times as fast as
    the shortest exact text of a float.
    """
    return f"[{number}, {', '.join(map(_place, columns))}]\n"


def row_line(template: str, values: Sequence[float]) -> str:
    """The line of one row."""
    # A sum shows every nan and inf in one call. If it overflows, the slow way is right, too.
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


def strict(value: object) -> object:
    """Plain data for strict JSON: ``nan`` and ``inf`` as text, tuples as lists."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(float(value))
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def check_header(line: bytes, path: object) -> float:
    """Read from the first line of a record when it was started.

    Raises:
        RecorderError: The line is not that of a record, or it has another version.
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
    check_version(header.get("version"), f"The record {path}", RecorderError, VERSION)
    return float(header.get("started", 0.0))


def is_torn_header(text: bytes) -> bool:
    """Whether a file without a whole line is a record that was killed as it was started."""
    start = _START.encode()
    return text.startswith(start) or start.startswith(text)
