"""Multipliers that act together multiply."""

from dataclasses import replace
from functools import reduce

from layerwise.multipliers._plan import Plan, PlanRow
from layerwise.multipliers._values import Value
from layerwise.schedules import Schedule, from_function


def product(*values: Value) -> Value:
    """The multiplier that is the product of all of these, at every step; 1 for none."""
    start: Value = 1.0
    return reduce(_times, values, start)


def multiply_plans(inner: Plan, outer: Plan) -> Plan:
    """The plan of two sets of rules for the same parameters, one inside the other.

    Args:
        inner: The plan of the rules inside; its rate, steps and separator are kept.
        outer: The plan of the rules around them, with the same parameters in the same order.

    Returns:
        A plan whose multipliers and schedules are the products.

    Examples:
        >>> from layerwise.multipliers import Parameter, multiply_plans, resolve
        >>> names = [Parameter("body/kernel"), Parameter("head/kernel")]
        >>> plan = multiply_plans(resolve(names, {"body": 0.5}), resolve(names, {"body": 0.25}))
        >>> plan.multipliers(0).tolist()
        [0.125, 1.0]
    """
    rows = [
        PlanRow(
            a.parameter,
            " * ".join(rule for rule in (a.rule, b.rule) if rule is not None) or None,
            product(a.value, b.value),
        )
        for a, b in zip(inner.rows, outer.rows, strict=True)
    ]
    schedules = [plan.schedule for plan in (inner, outer) if plan.schedule is not None]
    return replace(inner, rows=tuple(rows), schedule=product(*schedules) if schedules else None)


def _times(one: Value, other: Value) -> Value:
    if isinstance(one, float) and isinstance(other, float):
        return one * other
    for number, rest in ((one, other), (other, one)):
        if isinstance(number, float) and number in (0.0, 1.0):
            # 0 stays the number 0: frozen is frozen, whatever the other becomes.
            return rest if number else 0.0
    return _schedule(one) * _schedule(other)


def _schedule(value: Value) -> Schedule | float:
    return value if isinstance(value, float | int | Schedule) else from_function(value)
