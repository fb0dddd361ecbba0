"""What strategies by parameter learn from Keras of an optimizer and its weights."""

from collections.abc import Sequence

from keras import Variable, optimizers
from keras.optimizers import Optimizer

from layerwise.keras._internals.optimizer import inner_optimizer
from layerwise.keras._restored import full_name
from layerwise.multipliers import ModelFacts

# Lamb, Adafactor and Muon look at the size of a whole weight, too: they are of neither family.
_ADAM = (
    *(optimizers.Adadelta, optimizers.Adagrad, optimizers.Adam, optimizers.Adamax),
    *(optimizers.Ftrl, optimizers.Lion, optimizers.Nadam, optimizers.RMSprop),
    *filter(None, [getattr(optimizers, "ScheduleFreeAdamW", None)]),
)


def facts_of(variables: Sequence[Variable], optimizer: Optimizer) -> ModelFacts:
    """What strategies by parameter may ask of an optimizer and the weights that it trains."""
    return ModelFacts(
        family=lambda: family_of(optimizer),
        values=lambda: {full_name(variable): variable.value for variable in variables},
        mend=_mend,
    )


def family_of(optimizer: Optimizer) -> str | None:
    """Whether an optimizer divides by the gradient's size, as Adam does, or not, as SGD."""
    inner = inner_optimizer(optimizer)
    if isinstance(inner, _ADAM):
        return "adam"
    return "sgd" if isinstance(inner, optimizers.SGD) else None


def _mend(name: str, factor: float) -> str:
    return f'[v.assign(v * {factor:.4g}) for v in model.trainable_variables if v.path == "{name}"]'
