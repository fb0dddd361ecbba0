"""explain: who gets which rate, read before training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from keras import ops

from layerwise.errors import OptimizerError
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.multipliers import Plan, Rules
from layerwise.schedules import Schedule


def explain(
    model: Any,
    rules: Rules | None = None,
    *,
    optimizer: Any = None,
    schedule: Schedule | Callable[[Any], Any] | None = None,
    match: str = "prefix",
    strict: bool = True,
    steps: Sequence[int] = (),
) -> Plan:
    """The rate of every weight of a model under the given rules, before any training.

    Args:
        model: A built Keras model.
        rules: Rules as for ``LRMultiplier``. Left out with ``schedule``, the model's own
            optimizer is explained, which must be an ``LRMultiplier``.
        optimizer: Whose base rate and weight decay are shown: an identifier or instance;
            default: the model's, else Adam at Keras' default rate. Rules that it has are left
            out.
        schedule: A factor on the base rate for all weights.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        steps: The steps to show rates at, beside the present one.

    Returns:
        A plan: ``print`` shows it as a table, ``.to_dict()`` gives plain columns.

    Raises:
        OptimizerError: The model has no weights yet, or no optimizer that could be explained.
        MultiplierError: A rule that can't be honoured.

    Examples:
        >>> import keras
        >>> from layerwise.keras import explain
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="head")])
        >>> plan = explain(model, {"head": 0.5}, optimizer="sgd")
        >>> [(row.rule, row.value) for row in plan.rows]
        [('head', 0.5), ('head', 0.5)]
    """
    variables = model.trainable_variables
    if not variables:
        raise OptimizerError(
            f"The model {model.name!r} has no trainable weights. Build it first, for example with "
            "an Input layer, model.build(shape) or one call on data."
        )
    compiled = _unwrapped(getattr(model, "optimizer", None))
    if rules is None and schedule is None and optimizer is None:
        if not isinstance(compiled, LRMultiplier):
            raise OptimizerError(
                f"The model {model.name!r} is not compiled with an LRMultiplier; give the rules: "
                "explain(model, {...})."
            )
        return compiled.plan(steps) if compiled.built else compiled.plan_for(variables, steps)
    base = compiled or "adam" if optimizer is None else _unwrapped(optimizer)
    if isinstance(base, LRMultiplier):
        base = base.plain()
    made = LRMultiplier(base, rules, schedule=schedule, match=match, strict=strict)
    plan = made.plan_for(variables, steps)
    now = getattr(compiled, "iterations", 0)
    return replace(plan, step=int(ops.convert_to_numpy(now)))


def _unwrapped(optimizer: Any) -> Any:
    """The optimizer inside Keras' own loss scaling."""
    return getattr(optimizer, "inner_optimizer", optimizer)
