"""What tables, pictures and the report show of a finding of rates, as text and numbers."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from layerwise._numbers import NOTHING, counted, number_text
from layerwise._text import name_text
from layerwise.finder import Band, RatesFinding

_NAME = 60  # characters of a band's name
_FAR_APART = 10  # multipliers that differ more are shown on a logarithmic scale


@dataclass(frozen=True)
class BandCells:
    """What the table says of a band, as text.

    Attributes:
        band: Its name, and how many parameters it has.
        multiplier: Its multiplier.
        as_good: The range of multipliers that are as good; a dash if it is a single one.
        rate: Its rate; a dash without an answer.
        held_out: Where the held-out loss says that the band should go.
    """

    band: str
    multiplier: str
    as_good: str
    rate: str
    held_out: str

    @property
    def texts(self) -> tuple[str, ...]:
        """The cells in the order of ``HEADINGS``."""
        return astuple(self)


HEADINGS = ("band (parameters)", "multiplier", "as good", "rate", "the held-out loss says")


def bands_in_words(finding: RatesFinding) -> list[BandCells]:
    """The cells of each band, from input to head."""
    return [
        BandCells(
            f"{name_text(band.name, _NAME)} ({len(band.parameters):,})",
            NOTHING if finding.learning_rate is None else number_text(band.multiplier, 3),
            as_good(band) if finding.learning_rate is not None else NOTHING,
            rate_text(finding, band),
            slope_text(band.slope, band.slope_error),
        )
        for band in finding.bands
    ]


def rate_text(finding: RatesFinding, band: Band) -> str:
    """The rate of a band; ``frozen`` if it is 0.

    Examples:
        >>> from layerwise.finder import RatesFinding
        >>> head = Band("head", ("head/kernel",), multiplier=0.5, low=0.5, high=1.0)
        >>> found = RatesFinding(0.01, {}, "", (head,), 1.0, 0.01, 0.0, 0.0, (), (), "", 96)
        >>> rate_text(found, head), as_good(head)
        ('5e-3', '0.5 … 1')
    """
    if finding.learning_rate is None:
        return NOTHING
    return number_text(finding.learning_rate * band.multiplier, 3) if band.multiplier else "frozen"


def as_good(band: Band) -> str:
    """The range of multipliers that are as good as the band's; a dash if it is a single one."""
    if band.low == band.high:
        return NOTHING
    return f"{number_text(band.low, 2)} … {number_text(band.high, 2)}"


def slope_text(slope: float | None, error: float | None) -> str:
    """Whether a band should go further or less far, as the slope of the held-out loss says.

    Args:
        slope: By how much the loss changes with the logarithm of the rate, or None.
        error: The standard error of that, or None if it was measured once.

    Examples:
        >>> slope_text(-0.02, 0.004), slope_text(0.061, 0.01), slope_text(0.01, 0.02)
        ('further: -0.02 ± 4e-3', 'less far: 0.061 ± 0.01', 'as it is: 0.01 ± 0.02')
        >>> slope_text(0.01, None), slope_text(None, None)
        ('once: 0.01', '—')
    """
    if slope is None:
        return NOTHING
    if error is None:
        return f"once: {number_text(slope, 2)}"
    word = "as it is" if abs(slope) <= error else "further" if slope < 0 else "less far"
    return f"{word}: {number_text(slope, 2)} ± {number_text(error, 1)}"


def tilt_text(tilt: float) -> str:
    """What a tilt is called.

    Examples:
        >>> [tilt_text(tilt) for tilt in (0.0, 0.3, 1.0)]
        ['head alone', 'later layers faster (0.3)', 'even']
        >>> tilt_text(3.0)
        'early layers faster (3)'
    """
    if tilt == 0:
        return "head alone"
    if tilt == 1:
        return "even"
    return f"{'later' if tilt < 1 else 'early'} layers faster ({number_text(tilt, 3)})"


def bars_from(finding: RatesFinding) -> float:
    """Where bars of multipliers begin: at 0, or above it, so that the scale is logarithmic."""
    positive = [
        m for band in finding.bands for m in (band.multiplier, band.low, band.high) if m > 0
    ]
    if not positive or max(positive) < _FAR_APART * min(positive):
        return 0.0
    return float(min(positive) / 2)


def answer_text(finding: RatesFinding) -> str:
    """The answer in a few words: the base rate, and which layers are faster."""
    if finding.learning_rate is None:
        return "No answer"
    rate = number_text(finding.learning_rate, 3)
    return (
        f"One rate, {rate}" if finding.tilt == 1 else f"Base rate {rate}, {tilt_text(finding.tilt)}"
    )


def summary(finding: RatesFinding) -> Sequence[str]:
    """The reason with the gain, the best single rate, which training this is for, and the cost."""
    lines = [finding.reason]
    if finding.learning_rate is not None and finding.single_rate is not None and finding.tilt != 1:
        lines.append(f"The best single rate is {number_text(finding.single_rate, 3)}.")
    training = f"For {finding.training}. " if finding.training else ""
    took = f"{counted(len(finding.probes), 'probe')}, {counted(finding.updates, 'update')}"
    ended = "" if finding.ended == "finished" else f"; {finding.ended}"
    return [*lines, f"{training}The search took {took}{ended}."]
