"""Tick labels that a person understands: 1e-3 and not 0.001000, 10k and not 10000."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, LogLocator, MaxNLocator, NullFormatter

_STEPS = (1, 2, 2.5, 5, 10)
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number_text(number: float) -> str:
    """A rate or a loss, as short as it can be written: ``0.25``, ``1e-3``, ``2.5e-7``, ``0``.

    Examples:
        >>> [number_text(number) for number in (1, 0.01, 0.001, 2.5e-7, 0.0, 12345.0)]
        ['1', '0.01', '1e-3', '2.5e-7', '0', '12345']
    """
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    if 0.00995 <= abs(number) < 999_999:
        return f"{number:.6f}".rstrip("0").rstrip(".")
    mantissa, exponent = f"{number:.5e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def rounded_text(number: float) -> str:
    """The same with three digits, for a number in a sentence.

    Examples:
        >>> rounded_text(0.00123456), rounded_text(0.5)
        ('1.23e-3', '0.5')
    """
    return number_text(float(f"{number:.3g}"))


def step_text(step: float) -> str:
    """A count of steps: ``500``, ``2.5k``, ``10k``, ``1M``.

    Examples:
        >>> [step_text(step) for step in (0, 500, 2_500, 10_000, 1_000_000)]
        ['0', '500', '2.5k', '10k', '1M']
    """
    for size, prefix in _PREFIXES:
        if abs(step) >= size:
            return f"{step / size:.10g}{prefix}"
    return f"{step:.10g}"


def step_axis(axis: Axis) -> None:
    """Ticks at whole steps."""
    axis.set_major_locator(MaxNLocator(nbins=7, steps=_STEPS, integer=True))
    axis.set_major_formatter(_Texts(step_text))


def number_axis(axis: Axis) -> None:
    """Ticks at round numbers, or on a logarithmic axis at powers of ten."""
    if axis.get_scale() == "linear":
        axis.set_major_locator(MaxNLocator(nbins=6, steps=_STEPS))
    else:
        low, high = axis.get_view_interval()
        short = low > 0 and high / low < 60  # too few powers of ten to read from
        subs = (1.0, 2.0, 5.0) if short else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=10))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(_Texts(number_text))


class _Texts(Formatter):
    """Ticks by a function; what only rounding keeps from 0 is 0."""

    def __init__(self, text: Callable[[float], str]) -> None:
        self._text = text

    def __call__(self, x: float, pos: int | None = None) -> str:
        """See ``Formatter``."""
        return self._text(x)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """See ``Formatter``."""
        largest = max(map(abs, values), default=0.0)
        linear = not isinstance(self.axis, Axis) or self.axis.get_scale() == "linear"
        least = 1e-9 * largest if linear else 0.0
        return [self._text(0.0 if abs(value) < least else value) for value in np.asarray(values)]
