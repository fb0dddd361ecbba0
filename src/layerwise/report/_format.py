"""Numbers as a person writes them."""

import math

NOTHING = "—"
"""Where there is no number."""


def number(value: float, digits: int = 4) -> str:
    """``0.75``, ``12,400``, ``1e-3``, ``2.5e-5``: so many digits at most.

    Examples:
        >>> number(0.75), number(1e-3), number(12400), number(float("nan"))
        ('0.75', '1e-3', '12,400', 'NaN')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if 0.00995 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    if 1000 <= abs(value) < 999_999.5:
        return f"{value:,.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def whole(value: float) -> str:
    """A count or a step: ``12,400``; a dash where it is not known.

    Examples:
        >>> whole(12400.0), whole(float("nan"))
        ('12,400', '—')
    """
    return f"{int(value):,}" if math.isfinite(value) else NOTHING


def count(amount: int, thing: str) -> str:
    """An amount with its noun.

    Examples:
        >>> count(1, "run"), count(1200, "step")
        ('1 run', '1,200 steps')
    """
    return f"{amount:,} {thing}{'s' * (amount != 1)}"


def duration(seconds: float) -> str:
    """A time span in the two largest units that matter.

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
