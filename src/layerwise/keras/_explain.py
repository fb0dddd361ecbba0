"""explain: the rate of every weight, read before training."""

from collections.abc import Sequence
from dataclasses import replace

import keras

from layerwise.errors import OptimizerError
from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._objects import ModelLevels, ModelRules
from layerwise.keras._optimizer.clone import Identifier
from layerwise.keras._optimizer.loss_scale import LossScaleOptimizer
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.keras._optimizer.plan import with_rates
from layerwise.multipliers import Plan, StepValue

_SCALES = (
    "Keras' LossScaleOptimizer looks at the gradients of frozen weights too: while one is not "
    "finite, no weight is updated and the loss scale falls. "
    "layerwise.keras.LossScaleOptimizer(LRMultiplier(...)) leaves them out."
)


def explain(
    model: keras.Model,
    rules: ModelRules | None = None,
    *,
    optimizer: Identifier | None = None,
    learning_rate: float | None = None,
    schedule: StepValue | None = None,
    match: str = "prefix",
    strict: bool = True,
    layers: ModelLevels | None = None,
    decay_rules: ModelRules | None = None,
    steps: Sequence[int] = (),
    step: int | None = None,
) -> Plan:
    r"""The rate of every weight of a model, before any training.

    With rules, a schedule or an optimizer it shows what ``LRMultiplier`` would do with these;
    without, what the ``LRMultiplier`` does that the model is compiled with. If there is none, it
    lists the model's weights, with the multipliers that its layers carry. The rate of a weight $v$
    at step $t$ is

    $$\eta_v(t) = \text{learning rate} \cdot \text{schedule}(t) \cdot \text{multiplier}_v(t)$$

    Args:
        model: A built Keras model.
        rules: Rules as for ``LRMultiplier``.
        optimizer: Gives the base rate and the weight decay: an identifier, config or instance. By
            default the model's, or else Adam at Keras' default rate. Its rules are left out.
        learning_rate: The base rate, in place of the optimizer's.
        schedule: A factor on the base rate for all weights.
        match: How keys match: ``"prefix"``, ``"substring"``, ``"glob"`` or ``"regex"``.
        strict: Whether a rule that matches nothing is an error.
        layers: Levels from input to head for the strategies, as for ``LRMultiplier``.
        decay_rules: Rules for weight decay, as for ``LRMultiplier``.
        steps: The steps to show rates at, beside the present one.
        step: The present step: updates already applied. By default that of the model's optimizer.

    Returns:
        A plan: ``print`` shows it as a table, ``.to_dict()`` gives plain columns.

    Raises:
        OptimizerError: The model has no weights yet, or ``optimizer`` isn't one.
        MultiplierError: A rule, level, rate or step that can't be used.
        ScheduleError: ``schedule`` is neither a schedule nor a callable.

    Examples:
        >>> import keras
        >>> from layerwise.keras import explain
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, name="head")])
        >>> plan = explain(model, {"head": 0.5}, optimizer="sgd")
        >>> [(row.rule, row.value) for row in plan.rows]
        [('head', 0.5), ('head', 0.5)]

    Source: the plan is ``layerwise.multipliers.resolve``'s.
    """
    variables = model.trainable_variables
    if not variables:
        raise OptimizerError(
            f"The model {model.name!r} has no trainable weights. Build it first, for example with "
            "an Input layer, model.build(shape) or one call on data."
        )
    compiled = inner_optimizer(getattr(model, "optimizer", None))
    given = any(
        argument is not None for argument in (rules, schedule, optimizer, layers, decay_rules)
    )
    if isinstance(compiled, LRMultiplier) and not given:
        plan = with_rates(compiled.resolved(variables), compiled, steps, step, learning_rate)
        return _with_notes(plan, model, model.optimizer)
    base = compiled or "adam" if optimizer is None else inner_optimizer(optimizer)
    if isinstance(base, LRMultiplier):
        base = base.plain()
    made = LRMultiplier(
        base,
        rules,
        schedule=schedule,
        match=match,
        strict=strict,
        layers=layers,
        decay_rules=decay_rules,
    )
    found = made.resolved(variables)
    plan = with_rates(found, made, steps, step, learning_rate, trained=compiled)
    used = getattr(model, "optimizer", None) if optimizer is None else optimizer
    return _with_notes(plan, model, used)


def _with_notes(plan: Plan, model: keras.Model, optimizer: Identifier | None) -> Plan:
    """The plan, with a note where gradients of frozen weights steer Keras' loss scaling."""
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    scales |= model.dtype_policy.name == "mixed_float16"  # where compile() wraps the optimizer
    trained = plan.multipliers(plan.step, unknown=1.0)
    if not scales or isinstance(optimizer, LossScaleOptimizer) or trained.all():
        return plan
    return replace(plan, notes=(*plan.notes, _SCALES))
