"""Every built-in optimizer of Keras that updates weights itself, as the tests make them."""

from collections.abc import Callable
from typing import Any

from keras import optimizers

Factory = Callable[..., Any]

# Rates at which each moves weights of order one visibly within a few steps.
OPTIMIZERS: dict[str, tuple[Factory, float, dict[str, Any]]] = {
    "sgd": (optimizers.SGD, 0.1, {}),
    "sgd-momentum": (optimizers.SGD, 0.1, {"momentum": 0.9}),
    "sgd-nesterov": (optimizers.SGD, 0.1, {"momentum": 0.9, "nesterov": True}),
    "adam": (optimizers.Adam, 0.01, {}),
    "adam-amsgrad": (optimizers.Adam, 0.01, {"amsgrad": True}),
    "adamw": (optimizers.AdamW, 0.01, {"weight_decay": 0.004}),
    "rmsprop": (optimizers.RMSprop, 0.01, {"momentum": 0.5, "centered": True}),
    "adadelta": (optimizers.Adadelta, 1.0, {}),
    "adagrad": (optimizers.Adagrad, 0.1, {}),
    "adamax": (optimizers.Adamax, 0.01, {}),
    "adafactor": (optimizers.Adafactor, 0.05, {}),
    "nadam": (optimizers.Nadam, 0.01, {}),
    "ftrl": (optimizers.Ftrl, 0.1, {"l1_regularization_strength": 0.001}),
    "lion": (optimizers.Lion, 0.01, {}),
    "muon": (optimizers.Muon, 0.01, {}),
    "lamb": (optimizers.Lamb, 0.01, {}),
}
if hasattr(optimizers, "ScheduleFreeAdamW"):  # Keras 3.10 has none
    OPTIMIZERS["schedule-free-adamw"] = (optimizers.ScheduleFreeAdamW, 0.01, {"warmup_steps": 3})


def make(name: str, factor: float = 1.0, **options: Any) -> Any:
    """The named optimizer at its rate times a factor (a power of two keeps it exact)."""
    factory, rate, own = OPTIMIZERS[name]
    return factory(rate * factor, **(own | options))
