"""LossScaleOptimizer: Keras' loss scaling, which gradients of frozen weights do not steer."""

from collections.abc import Sequence

import keras
from keras import Variable

from layerwise.keras._internals.optimizer import inner_optimizer, trained_variables
from layerwise.keras._internals.values import Tensor
from layerwise.keras._optimizer.clone import Identifier, as_optimizer
from layerwise.keras._optimizer.update import MultipliedUpdate


@keras.saving.register_keras_serializable(package="layerwise")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras' ``LossScaleOptimizer`` in which frozen means frozen.

    Keras' own looks at all gradients: while one is infinite or NaN, it skips the update of every
    weight and halves the scale of the loss, even if that weight is frozen by a multiplier of 0.
    This one leaves out the gradients of what is frozen at the step; everything else is Keras'.
    ``Model.compile`` wraps an optimizer into Keras' own under the policy ``mixed_float16``, but
    not one that is wrapped already.

    Args:
        inner_optimizer: An ``LRMultiplier``, or what it takes: with any other optimizer this is
            Keras' class.
        initial_scale: The first scale of the loss.
        dynamic_growth_steps: The updates with finite gradients after which the scale is doubled.
        name: The optimizer's name.

    Returns:
        An optimizer for ``model.compile`` or your own training loop. The rates are at
        ``.inner_optimizer.learning_rates()``.

    Raises:
        OptimizerError: ``inner_optimizer`` is no optimizer.

    Examples:
        >>> import keras
        >>> from layerwise.keras import LossScaleOptimizer, LRMultiplier
        >>> optimizer = LossScaleOptimizer(LRMultiplier("adam", {"backbone": 0}))
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(8, name="backbone"),
        ...         keras.layers.Dense(1, name="head"),
        ...     ]
        ... )
        >>> model.compile(optimizer, loss="mse")
        >>> model.optimizer is optimizer
        True

    Source: ``keras.optimizers.LossScaleOptimizer`` (Keras 3); dynamic loss scaling as in
    Micikevicius et al., "Mixed Precision Training" (2018).
    """

    def __init__(
        self,
        inner_optimizer: Identifier,
        initial_scale: float = 2.0**15,
        dynamic_growth_steps: int = 2000,
        name: str | None = None,
        **options: object,
    ) -> None:
        inner = as_optimizer(inner_optimizer)
        super().__init__(inner, initial_scale, dynamic_growth_steps, name=name, **options)

    def apply(
        self, grads: Sequence[Tensor | None], trainable_variables: Sequence[Variable] | None = None
    ) -> None:
        if not self.built and trainable_variables is not None:
            with keras.name_scope(self.name, caller=self):
                self.build(list(trainable_variables))
        super().apply(self._unfrozen(grads, trainable_variables), trainable_variables)

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Tensor],
        grads: Sequence[Tensor | None],
        trainable_variables: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[Tensor]]:
        if self.built:
            mapping = list(zip(self.variables, optimizer_variables, strict=False))
            with keras.StatelessScope(state_mapping=mapping):
                grads = self._unfrozen(grads, None)
        updated: tuple[list[Tensor], list[Tensor]] = super().stateless_apply(
            optimizer_variables, grads, trainable_variables
        )
        return updated

    def _unfrozen(
        self, grads: Sequence[Tensor | None], variables: Sequence[Variable] | None
    ) -> Sequence[Tensor | None]:
        inner = inner_optimizer(self)
        if not self.built or not isinstance(inner, MultipliedUpdate):
            return grads
        return inner.mask_frozen(
            grads, trained_variables(inner) if variables is None else variables
        )
