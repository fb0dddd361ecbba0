"""A plan as a Rich table, folded until it fits a screen; opened by ``_show`` alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

from rich import box
from rich.table import Table
from rich.text import Text

from layerwise._html import Row, table
from layerwise._numbers import counted, number_text
from layerwise._text import columns_of, keep_numbers, name_text, table_text
from layerwise.multipliers import Plan, Value, common_start, value_text
from layerwise.schedules import Schedule

SCREEN = 40
"""The most lines of a plan's table; where columns find no room, a further table has as many."""

_GAP = 2
_LEAST = 24  # characters of a cell that stay together: a name may take two lines, a number never
_UNKNOWN = "?"


@dataclass(frozen=True)
class Line:
    """A line of the table: its label, and the places of the plan's rows that share it."""

    label: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, its cells, and whether they are numbers."""

    title: str
    cells: list[str]
    numeric: bool = False

    @property
    def widest(self) -> int:
        """The characters of its longest line."""
        return max(len(text) for text in (*self.title.split("\n"), *self.cells))

    @property
    def width(self) -> int:
        """The characters that it needs, gap included; a long rule may take two lines."""
        return _GAP + (min(self.widest, _LEAST) if self.title.endswith("rule") else self.widest)

    @property
    def least(self) -> int:
        """The characters below which it would lose digits, or parts of a name, gap excluded."""
        return min(self.widest, _LEAST)


def plan_tables(plan: Plan, width: int) -> list[Table]:
    """The plan as Rich tables for lines of ``width`` characters.

    Columns that find no room stand in a further table below, after the parameters once more: a
    number is never cut.
    """
    lines = fold(plan)
    columns = _columns(plan, lines[:SCREEN])
    if sum(column.width for column in columns) >= width:
        columns.pop(1)  # shapes are missed least, and to_dict() has them
    tables = [_table(plan, lines[:SCREEN], block) for block in _blocks(columns, width)]
    hidden = sum(len(line.rows) for line in lines[SCREEN:])
    if hidden:
        tables[-1].add_row(f"… {hidden} more parameters: see to_dict()")
    tables[-1].caption = Text(_caption(plan))
    for each in tables:
        keep_numbers(each, width)
    return tables


def _blocks(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in blocks that fit a line, each with the parameters first."""
    names = columns[0]
    blocks = [[names]]
    for column in columns[1:]:
        needed = sum(each.least + _GAP for each in (*blocks[-1], column))
        if needed >= width and len(blocks[-1]) > 1:
            blocks.append([names])
        blocks[-1].append(column)
    return blocks


def _table(plan: Plan, lines: Sequence[Line], columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption_justify="left")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(
            column.title,
            overflow="fold",
            justify=justify,
            no_wrap=column.numeric and column.widest <= _LEAST,
            min_width=column.least,
        )
    for i, line in enumerate(lines):
        frozen = plan.rows[line.rows[0]].frozen
        # Rich would read [brackets] in a plain string as markup.
        cells = (Text(column.cells[i]) for column in columns)
        table.add_row(*cells, style="dim" if frozen else None)
    return table


def plan_text(plan: Plan, width: int | None = None) -> str:
    """The tables as plain text, as wide as the terminal or the given width, if that is enough."""
    columns = columns_of(width)
    return "\n".join(table_text(table, columns) for table in plan_tables(plan, columns))


def plan_html(plan: Plan) -> str:
    """The plan as a table for notebooks, folded like the one in a terminal."""
    lines = fold(plan)
    columns = _columns(plan, lines[:SCREEN])
    rows = [
        Row(cells, dim=plan.rows[line.rows[0]].frozen)
        for line, cells in zip(lines, zip(*(c.cells for c in columns), strict=True), strict=False)
    ]
    hidden = sum(len(line.rows) for line in lines[SCREEN:])
    more = f"… {hidden} more parameters: see to_dict()\n" if hidden else ""
    numbers = [place for place, column in enumerate(columns) if column.numeric]
    titles = [column.title.replace("\n", " ") for column in columns]
    return table(titles, rows, numbers=numbers, caption=more + _caption(plan))


def _columns(plan: Plan, lines: Sequence[Line]) -> list[Column]:
    members = [[plan.rows[place] for place in line.rows] for line in lines]
    shapes = [
        _shape(rows[0].parameter.shape) if len(rows) == 1 else f"{len(rows)} parameters"
        for rows in members
    ]
    columns = [
        Column("parameter", [line.label for line in lines]),
        Column("shape", shapes),
        Column("rule", _rules([rows[0].rule for rows in members])),
        Column("multiplier", [_values([row.value for row in rows]) for rows in members], True),
    ]
    for title, numbers in plan.columns_at_steps().items():
        columns.append(Column(title, [_numbers(numbers[list(line.rows)]) for line in lines], True))
    if plan.has_decay_rules:
        columns += [
            Column("decay\nrule", _rules([rows[0].decay_rule for rows in members])),
            Column("decay\nmultiplier", [_values([row.decay for row in r]) for r in members], True),
        ]
    known = plan.weight_decays(plan.step)
    decays = [[known[place] for place in line.rows] for line in lines]
    if any(decay is not None for line in decays for decay in line):
        cells = [_numbers(decay for decay in line if decay is not None) for line in decays]
        columns.append(Column("weight\ndecay", cells, True))
    if any(rows[0].frozen for rows in members):
        columns.append(Column("", ["frozen" if rows[0].frozen else "" for rows in members]))
    return columns


def fold(plan: Plan, screen: int = SCREEN) -> list[Line]:
    """The rows as lines, folded no further than needed to fit a screen.

    Rows share a line if their names begin alike and all their settings are equal; as many parts of
    the names as possible are kept apart. If there are still too many lines, rows with different
    weight decay share one, then rows with different multipliers, and the line shows the range. Rows
    of different rules never share a line, nor do frozen rows and trained ones.
    """
    paths = [tuple(row.parameter.name.split(plan.separator)) for row in plan.rows]
    if len(paths) <= screen:
        return [
            Line(name_text(row.parameter.name), (place,)) for place, row in enumerate(plan.rows)
        ]
    group_of = {place: i for i, (_, places) in enumerate(plan.groups) for place in places}
    decay_of = [value_text(row.decay) for row in plan.rows]
    settings = [
        (
            (row.rule, row.decay_rule),
            row.frozen,
            group_of[place],
            (row.parameter.weight_decay, decay_of[place]),
        )
        for place, row in enumerate(plan.rows)
    ]
    lines: dict[object, list[int]] = {}
    for shared, depth in product((4, 3, 2), range(max(map(len, paths)) - 1, -1, -1)):
        lines = {}
        for place, path in enumerate(paths):
            lines.setdefault((path[:depth], settings[place][:shared]), []).append(place)
        if len(lines) <= screen:
            break
    return [Line(_label(plan, paths, places), tuple(places)) for places in lines.values()]


def _label(plan: Plan, paths: Sequence[tuple[str, ...]], places: Sequence[int]) -> str:
    """What the names on one line have in common: ``block_0/…/bias``."""
    if len(places) == 1:
        return name_text(plan.rows[places[0]].parameter.name)
    shared = [paths[place] for place in places]
    last = {path[-1] for path in shared}
    parts = [*common_start(path[:-1] for path in shared), "…", *(last if len(last) == 1 else ())]
    return name_text(plan.separator.join(parts))


def _rules(rules: Sequence[str | None]) -> list[str]:
    """Rules as cells; a long one that is that of the line above is not written again."""
    texts = [name_text(rule or "") for rule in rules]
    return [
        '"' if text == above and len(text) > 12 else text for above, text in pairwise(["", *texts])
    ]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "scalar"


def _numbers(numbers: Iterable[float]) -> str:
    given = list(numbers)
    known = sorted({number for number in given if not math.isnan(number)})
    unknown = [_UNKNOWN] if any(map(math.isnan, given)) else []
    if len(known) > 2:
        shown = [f"{number_text(known[0], 2)} … {number_text(known[-1], 2)}"]
    else:
        shown = list(dict.fromkeys(map(number_text, known)))
    return ", ".join([*shown, *unknown])


def _values(values: Sequence[Value]) -> str:
    numbers = [value for value in values if isinstance(value, float | int)]
    if len(numbers) == len(values):
        return _numbers(numbers)
    texts = set(map(_value, values))
    return texts.pop() if len(texts) == 1 else "several"


def _value(value: Value, longest: int = 20) -> str:
    text = value_text(value)
    if isinstance(text, float):
        return number_text(text)
    too_long = isinstance(value, Schedule) and len(text) > longest
    return "a schedule" if too_long else name_text(text)


def _caption(plan: Plan) -> str:
    frozen = sum(row.frozen for row in plan.rows)
    parts = [
        counted(len(plan.rows), "parameter"),
        counted(len(plan.groups), "different multiplier"),
        f"{frozen or 'none'} frozen",
    ]
    if plan.learning_rate is not None:
        parts.append(f"base rate {number_text(plan.learning_rate)}")
    if plan.schedule is not None:
        parts.append(f"schedule {_value(plan.schedule, 60)}")
    return "\n".join((", ".join(parts), *plan.notes))
