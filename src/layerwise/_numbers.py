"""Numbers as people write them: in tables, on axes, and in sentences."""

import math

NOTHING = "—"
"""Stands where there is no number."""

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number_text(number: float, digits: int = 4) -> str:
    """A rate, a loss or any other number, rounded and as short as it can be written.

    Args:
        number: The number.
        digits: How many significant digits to keep at most; a whole number below a million keeps
            all of its digits.

    Examples:
        >>> [number_text(number) for number in (0.75, 1e-3, 2.5e-7, 0.123456, 12_400, 3e9)]
        ['0.75', '1e-3', '2.5e-7', '0.1235', '12,400', '3e9']
        >>> number_text(0.00123456, digits=2), number_text(float("nan"))
        ('1.2e-3', 'NaN')
    """
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    rounded = float(f"{number:.{digits - 1}e}")
    if math.isinf(rounded):  # the largest floats are rounded up beyond all floats
        rounded = number
    if rounded == 0:
        return "0"
    if 0.01 <= abs(rounded) < 10**digits:
        return f"{rounded:.{digits}g}"
    if 1 <= abs(number) < 999_999.5:
        return f"{number:,.0f}"
    mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def exact_text(number: float) -> str:
    """A number in as few characters as Python reads the same number from.

    Examples:
        >>> exact_text(16.0), exact_text(0.1), exact_text(0.123456789)
        ('16', '0.1', '0.123456789')
    """
    short = f"{number:g}"
    return short if float(short) == number else repr(float(number))


def whole_text(number: float) -> str:
    """A count or a step, such as ``12,400``; a dash if it is not known.

    Examples:
        >>> whole_text(12400.0), whole_text(float("nan"))
        ('12,400', '—')
    """
    return f"{int(number):,}" if math.isfinite(number) else NOTHING


def step_text(step: float) -> str:
    """A step on an axis: ``500``, ``2.5k``, ``10k``, ``1M``.

    Examples:
        >>> [step_text(step) for step in (0, 500, 2_500, 10_000, 1_000_000)]
        ['0', '500', '2.5k', '10k', '1M']
    """
    for size, prefix in _PREFIXES:
        if abs(step) >= size:
            return f"{step / size:.10g}{prefix}"
    return f"{step:.10g}"


def counted(amount: int, thing: str, things: str | None = None) -> str:
    """An amount with its noun.

    Args:
        amount: How many.
        thing: The noun for one.
        things: The noun for several; by default with an "s".

    Examples:
        >>> counted(1, "run"), counted(1200, "step"), counted(2, "batch", "batches")
        ('1 run', '1,200 steps', '2 batches')
    """
    return f"{amount:,} {thing if amount == 1 else things or f'{thing}s'}"


def duration(seconds: float) -> str:
    """A time span in its two largest units.

    Examples:
        >>> duration(0.5), duration(71.2), duration(90_000)
        ('0.5 s', '1 min 11 s', '1 d 1 h')
    """
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount)
