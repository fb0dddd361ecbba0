"""explain: who gets which rate, read before training."""

from collections.abc import Sequence
from dataclasses import replace

import optax

from layerwise._checks import number
from layerwise.errors import MultiplierError
from layerwise.multipliers import Layers, Plan, RuleSpec, StepValue, value_at
from layerwise.optax._arrays import ArrayRules, checked_rules
from layerwise.optax._model_facts import facts_of
from layerwise.optax._plan import plan_of
from layerwise.optax._transforms.add_decayed_weights import WeightDecay


def explain(
    params: optax.Params,
    rules: ArrayRules | None = None,
    *,
    learning_rate: float | None = None,
    schedule: StepValue | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
    weight_decay: WeightDecay | None = None,
    decay_rules: ArrayRules | None = None,
    steps: Sequence[int] = (),
    step: int = 0,
) -> Plan:
    """The rate of every leaf of a parameter tree under the given rules, before any training.

    Args:
        params: A tree of parameters, or of their shapes (``jax.eval_shape``).
        rules: Rules as for ``with_multipliers``; without any, the plan lists the parameters.
        learning_rate: The base rate; without it the plan shows multipliers.
        schedule: A factor on the base rate for all leaves.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for strategies; by default ``layers_of``.
        weight_decay: The weight decay, as for ``add_decayed_weights``; one that moves is shown as
            it is at the present step.
        decay_rules: Rules for it, as for ``add_decayed_weights``.
        steps: The steps to show rates at, beside the present one.
        step: The present step: updates already applied.

    Returns:
        A plan: ``print`` shows it as a table, ``.to_dict()`` gives plain columns.

    Raises:
        OptimizerError: The tree has no parameters.
        MultiplierError: A rule that can't be honoured.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.

    Examples:
        >>> import jax.numpy as jnp
        >>> from layerwise.optax import explain
        >>> params = {"body": jnp.ones((4, 2)), "head": jnp.ones((2, 1))}
        >>> plan = explain(params, {"body": 0.1}, learning_rate=1e-3)
        >>> print(plan)
        parameter  shape  rule  multiplier  rate @ 0
        ─────────────────────────────────────────────
        body       4x2    body         0.1      1e-4
        head       2x1                   1      1e-3
        2 parameters, 2 different multipliers, none
        frozen, base rate 1e-3
    """
    decays = checked_rules(decay_rules)
    spec = RuleSpec(checked_rules(rules), schedule, match, strict, layers, decays)
    model = facts_of(params, values=step == 0)
    found = plan_of(spec, params, learning_rate=learning_rate, steps=steps, step=step, model=model)
    plan = found.plan
    if weight_decay is None:
        return plan
    if callable(weight_decay):
        decay = value_at(weight_decay, plan.step, "weight_decay=")
    else:
        decay = number(weight_decay, "weight_decay", MultiplierError)
    rows = [replace(r, parameter=replace(r.parameter, weight_decay=decay)) for r in plan.rows]
    return replace(plan, rows=tuple(rows))
