"""explain: who gets which rate, read before training."""

from collections.abc import Sequence

import optax

from layerwise.multipliers import Layers, Plan, RuleSpec, StepValue
from layerwise.optax._arrays import ArrayRules, checked_rules
from layerwise.optax._model_facts import facts_of
from layerwise.optax._plan import plan_of


def explain(
    params: optax.Params,
    rules: ArrayRules | None = None,
    *,
    learning_rate: float | None = None,
    schedule: StepValue | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: Layers | None = None,
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
    spec = RuleSpec(checked_rules(rules), schedule, match, strict, layers)
    model = facts_of(params, values=step == 0)
    found = plan_of(spec, params, learning_rate=learning_rate, steps=steps, step=step, model=model)
    return found.plan
