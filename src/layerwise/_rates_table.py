"""A finding of rates as a Rich table; opened by ``_show`` alone."""

from rich import box
from rich.table import Table
from rich.text import Text

from layerwise._rates_shown import HEADINGS, answer_text, bands_in_words, summary
from layerwise._text import printable, table_text
from layerwise.finder import RatesFinding

_NUMBERS = ("multiplier", "as good", "rate")


def rates_table(finding: RatesFinding) -> Table:
    """The bands as a Rich table, with the answer above it and the reason below."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=Text(answer_text(finding), style="bold"),
        title_justify="left",
        caption=Text(printable("\n".join(summary(finding)), keep="\n")),
        caption_justify="left",
    )
    for heading in HEADINGS:
        number = heading in _NUMBERS
        table.add_column(
            heading, overflow="fold", justify="right" if number else "left", no_wrap=number
        )
    for band, cells in zip(finding.bands, bands_in_words(finding), strict=True):
        frozen = finding.learning_rate is None or not band.multiplier
        # Rich would read [brackets] in a plain string as markup.
        table.add_row(*map(Text, cells.texts), style="dim" if frozen else None)
    return table


def rates_text(finding: RatesFinding, width: int | None = None) -> str:
    """The table as plain text, as wide as the terminal unless a width is given."""
    return table_text(rates_table(finding), width)
