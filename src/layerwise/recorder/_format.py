"""The lines of a record: strict JSON, one value a line.

    {"layerwise": "record", "version": 1, "started": 1760000000.0}
    {"columns": ["step", "epoch", "time", "loss", "rate", "rates/body"], "of": "batch", "id": 0}
    [0, 0, 0, 0.0120, 2.31, 0.001, 0.0001]
    {"resume": {"step": 0}}
    {"event": {"step": 0, "text": "what happened"}}

A row starts with the id of its columns, which are written once. The file is only ever appended
to. So when training goes back to step N, a ``resume`` line makes rows void that stand *before* it:
those of batches with a step of N or more, and those of epochs that ended after N. The recorder that
begins a record counts its ids from 0; one that opens it again takes ids from a random number on, so
that no row is ever read under the names of another recorder. Should an id be declared twice, the
latest ``columns`` line counts.
"""

import json
import math
from collections.abc import Mapping, Sequence

from layerwise._checks import MOST_STEPS
from layerwise._checks import version as check_version
from layerwise._files import RECORD
from layerwise.errors import RecorderError

VERSION = 1
FILE = RECORD
STEP, EPOCH, TIME, LOSS, RATE = "step", "epoch", "time", "loss", "rate"
NO_METRICS = {STEP, EPOCH, TIME, LOSS, RATE}
RATES, RATIOS, VALIDATION = "rates/", "ratios/", "val_"

LONGEST_LINE = 1 << 24
"""No line is longer; a longer one in a file is damaged. That is room for 100,000 columns."""

_START = '{"layerwise": "record"'
_NO_STARTED = "{} is damaged: its first line does not say when it was started. Move that file away."


def header_line(started: float) -> str:
    """The first line of a file; the times of its rows count from ``started``, in Unix seconds."""
    return f'{_START}, "version": {VERSION}, "started": {started!r}}}\n'


def columns_line(number: int, kind: str, columns: Sequence[str]) -> str:
    """The line that declares the columns of the ``batch`` or ``epoch`` rows with this id."""
    return json.dumps({"columns": list(columns), "of": kind, "id": number}) + "\n"


def resume_line(where: str, number: int) -> str:
    """The line that says that training goes on from this step, or from this epoch."""
    return json.dumps({"resume": {where: number}}) + "\n"


def event_line(step: int, text: str) -> str:
    """The line that says what happened after ``step`` updates."""
    return json.dumps({"event": {"step": step, "text": text}}) + "\n"


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


def _refuse(token: str) -> float:
    raise ValueError(f"{token} is no JSON.")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


def parsed(line: bytes) -> object:
    """The value of a line; None if it is no strict JSON."""
    try:
        return _decode(line.decode())
    except (ValueError, RecursionError):
        return None


def is_count(value: object) -> bool:
    """Whether a value is a step or an epoch, which every float holds exactly."""
    return type(value) is int and 0 <= value <= MOST_STEPS


def check_header(line: bytes, path: object) -> dict[str, object]:
    """The first line of a record.

    Raises:
        RecorderError: The line is not that of a record, or it has another version.
    """
    header = parsed(line)
    if not isinstance(header, dict) or header.get("layerwise") != "record":
        raise RecorderError(
            f"{path} is no record of Layerwise: its first line is {line[:60]!r}. Choose another "
            "run folder, or move that file away."
        )
    version = header.get("version")
    known = str(version)[:60] if isinstance(version, str | dict | list) else version
    check_version(known, f"The record {path}", RecorderError, VERSION)
    return header


def read_started(header: Mapping[str, object], path: object) -> float:
    """When the record was started, in Unix seconds.

    Raises:
        RecorderError: The header does not say so, and times could not go on.
    """
    started = header.get("started", 0.0)
    try:
        if isinstance(started, int | float) and math.isfinite(started):
            return float(started)
    except OverflowError:
        pass
    raise RecorderError(_NO_STARTED.format(path))


def is_torn_header(text: bytes) -> bool:
    """Whether a file without a whole line is a record that was killed as it was started."""
    start = _START.encode()
    return text.startswith(start) or start.startswith(text)
