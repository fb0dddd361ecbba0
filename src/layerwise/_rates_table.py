"""A finding of rates as a Rich table; opened by ``_show`` alone."""

from rich import box
from rich.table import Table
from rich.text import Text

from layerwise._rates_shown import HEADINGS, answer_text, bands_in_words, summary
from layerwise._text import columns_of, keep_numbers, printable, table_text
from layerwise.finder import RatesFinding

_NUMBERS = ("multiplier", "as good", "rate")
_LEAST = 12  # characters of other cells that stay together


def rates_table(finding: RatesFinding, width: int) -> Table:
    """The bands as a Rich table for lines of ``width`` characters.

    The answer stands above it and the reason below. A number is never cut.
    """
    rows = bands_in_words(finding)
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(answer_text(finding), style="bold"),
        title_justify="left",
        caption=Text(printable("\n".join(summary(finding)), keep="\n")),
        caption_justify="left",
    )
    for place, heading in enumerate(HEADINGS):
        number = heading in _NUMBERS
        longest = max(map(len, (heading, *(cells.texts[place] for cells in rows))))
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if number else "left",
            no_wrap=number,
            min_width=longest if number else min(longest, _LEAST),
        )
    for band, cells in zip(finding.bands, rows, strict=True):
        frozen = finding.learning_rate is None or not band.multiplier
        # Rich would read [brackets] in a plain string as markup.
        table.add_row(*map(Text, cells.texts), style="dim" if frozen else None)
    keep_numbers(table, width)
    return table


def rates_text(finding: RatesFinding, width: int | None = None) -> str:
    """The table as plain text, as wide as the terminal unless a width is given."""
    columns = columns_of(width)
    return table_text(rates_table(finding, columns), columns)
