"""The clock that a schedule reads: a step, kept as integers for as long as possible.

float32 holds whole numbers exactly only up to 2**24, so at step 10**9 it can't say where in a
cycle of 100 steps we are. Integers can. Every shift, cycle count and comparison is therefore made
on ``whole``; only what is left, a small number, becomes a float. ``part``, a fraction in [0, 1),
exists only inside ``scale_steps``, where a step falls between two whole ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic

from layerwise.schedules._backends.namespace import LARGEST_FLOAT, A, Mask, Namespace


@dataclass(frozen=True)
class Clock(Generic[A]):
    """A step of at least 0, or an array of such steps, of any array library.

    Attributes:
        xp: The operations of the step's array library.
        whole: The step, or its whole part if there is a ``part``: integers, or floats if the
            caller's steps are floats.
        part: None, or the fraction of a step in [0, 1) beyond ``whole``.
        counts: The clocks of what else is counted, such as tokens, by name. A clock that was moved
            has none, since nobody knows how many tokens there were at another step.

    Examples:
        >>> from dataclasses import dataclass
        >>> from layerwise.schedules import Clock, Schedule
        >>> @dataclass(frozen=True, repr=False, eq=False)
        ... class Every(Schedule):
        ...     n: int
        ...
        ...     def evaluate(self, clock: Clock):
        ...         return clock.xp.where(
        ...             clock.step % self.n == 0, clock.constant(1.0), clock.constant(0.0)
        ...         )
        >>> [Every(3)(step) for step in range(4)]
        [1.0, 0.0, 0.0, 1.0]
    """

    xp: Namespace[A]
    whole: A
    part: A | None = None
    counts: "Mapping[str, Clock[A]] | None" = None

    @classmethod
    def start(cls, xp: Namespace[A], counts: "Mapping[str, Clock[A]] | None" = None) -> "Clock[A]":
        """Start at the step of ``xp``; one below 0 counts as 0, an infinite one as very late."""
        step = xp.maximum(xp.step, 0)
        if xp.largest is None:
            step = xp.minimum(step, LARGEST_FLOAT)
        return cls(xp, step, counts=counts)

    @property
    def step(self) -> A:
        """The step as a user's function sees it: integers if the caller gave integers."""
        return self.xp.for_user(self.whole) if self.part is None else self.real()

    def real(self) -> A:
        """Return the step as floats."""
        real = self.xp.real(self.whole)
        return real if self.part is None else real + self.part

    def constant(self, value: float) -> A:
        """Return a plain number as a float of the step's library."""
        return self.xp.number(value)

    def reached(self, n: int) -> Mask:
        """Say whether the step is ``n`` or later."""
        if self._beyond(n):
            return self.whole < 0
        return self.whole >= self._like_steps(n)

    def capped(self, n: int) -> "Clock[A]":
        """Return a clock that stops at ``n``."""
        if self._beyond(n):
            return self
        part = self.part
        if part is not None:
            part = self.xp.where(self.reached(n), part * 0, part)
        return Clock(self.xp, self.xp.minimum(self.whole, self._like_steps(n)), part)

    def share(self, x: A, n: float) -> A:
        """Return ``x / n``, at least 0 and at most 1, and exactly 1 where ``x`` is ``n``.

        XLA multiplies by a rounded ``1 / n`` instead of dividing, and 9 * (1 / 9) is not 1 there.
        """
        share = self.xp.maximum(x, 0.0) / float(n)
        return self.xp.where(x >= float(n), self.constant(1.0), share)

    def done(self, n: float) -> A:
        """Return the share of ``n`` steps that is over: 0 at step 0, exactly 1 from ``n`` on."""
        return self.share(self.real(), n)

    def left(self, n: int) -> A:
        """Return the share of ``n`` steps still to come: 1 at step 0, exactly 0 from ``n`` on.

        This isn't ``1 - done``, which loses all its digits near the end in float32.
        """
        return self.share(self.remaining(n), n)

    def remaining(self, n: int) -> A:
        """Return the number of steps to ``n`` as floats, counted in integers; 0 from there on."""
        if self._beyond(n):
            return float(n) - self.real()
        n_steps = self._like_steps(n)
        remaining = self.xp.real(n_steps - self.xp.minimum(self.whole, n_steps))
        if self.part is not None:
            remaining = self.xp.maximum(remaining - self.part, 0.0)
        return remaining

    def since(self, n: int) -> "Clock[A]":
        """Return a clock that starts at ``n`` and shows 0 before it."""
        if self._beyond(n):
            return Clock(self.xp, self.whole * 0)
        part = self.part
        if part is not None:
            part = self.xp.where(self.reached(n), part, part * 0)
        return Clock(self.xp, self.xp.maximum(self.whole - self._like_steps(n), 0), part)

    def later(self, n: int) -> "Clock[A]":
        """Return a clock that shows ``n`` where this one starts.

        Where the sum may not fit the library's integers, it is a float.
        """
        largest = self.xp.largest
        if largest is None:
            return Clock(self.xp, self.whole + float(n), self.part)
        if n > largest // 2:
            return Clock.start(self.xp.at(self.real() + float(n)))
        return Clock(self.xp, self.xp.minimum(self.whole, largest - n) + n, self.part)

    def cycle(self, n: int) -> "tuple[A, Clock[A]]":
        """Return how many cycles of ``n`` steps are over, and the clock within this one."""
        if self._beyond(n):
            return self.whole * 0, self
        steps: Any = self._like_steps(n)
        return self.whole // steps, replace(self, whole=self.whole % steps, counts=None)

    def unless_reached(self, n: int, clock: "Clock[A]", begin: int) -> "Clock[A]":
        """Return this clock, but from where ``clock`` has reached ``n`` on, it since ``begin``."""
        if clock._beyond(n):
            return self
        there, later = clock.reached(n), clock.since(begin)
        part = self.part
        if part is not None and later.part is not None:
            part = self.xp.where(there, later.part, part)
        return Clock(self.xp, self.xp.where(there, later.whole, self.whole), part)

    def faster(self, ratio: Fraction | float) -> "Clock[A]":
        """Return a clock that runs ``ratio`` times as fast, exactly if the ratio is a fraction.

        If the faster step outgrows the library's integers, it stays near the largest; and if it
        outgrows every training, where floats can still compute with it.
        """
        if isinstance(ratio, Fraction):
            return self._exactly_faster(ratio.numerator, ratio.denominator)
        real = self.real() * ratio
        if self.xp.largest is None:
            return Clock(self.xp, self.xp.minimum(real, LARGEST_FLOAT))
        real = self.xp.minimum(real, float(self.xp.largest // 2))
        whole = self.xp.integer(real)
        return Clock(self.xp, whole, real - self.xp.real(whole))

    def _exactly_faster(self, p: int, q: int) -> "Clock[A]":
        # With step = a * q + b, step * p / q = a * p + b * p / q. Only a * p can overflow, and only
        # where the result itself doesn't fit.
        a, b = self.whole // q, self.whole % q
        if self.xp.largest is not None:
            a = self.xp.minimum(a, self.xp.largest // p - 1)
        else:
            a = self.xp.minimum(a, LARGEST_FLOAT / p)
        whole = a * p + (b * p) // q
        if q == 1 and self.part is None and self.xp.largest is not None:
            return Clock(self.xp, whole)
        part = self.xp.real((b * p) % q) / q
        if self.part is not None:
            part = part + self.part * p / q
            carry = self.xp.integer(part)
            whole, part = whole + carry, part - self.xp.real(carry)
        return Clock(self.xp, whole, part)

    def _like_steps(self, n: int) -> float:
        """Return ``n`` as a number that the library can compute with beside its steps."""
        return n if self.xp.largest is not None else float(n)

    def _beyond(self, n: int) -> bool:
        return self.xp.largest is not None and n > self.xp.largest


def exact_ratio(value: float) -> Fraction | float:
    """Return a small fraction that is the same float as ``value``, or ``value`` if there is none.

    0.1 means a tenth here and not the binary number next to it. Numerator and denominator stay
    so small that ``Clock.faster`` can multiply them in 32 bits.
    """
    fraction = Fraction(value).limit_denominator(10_000)
    small = fraction.numerator * fraction.denominator < 2**31
    return fraction if small and float(fraction) == value else value
