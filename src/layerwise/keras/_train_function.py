"""A model's train function, made anew where it must share nothing with an earlier one."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras


@contextmanager
def ready_to_train(model: Any, separate: bool) -> Iterator[None]:
    """While the block runs, the model is in the state in which ``fit`` calls its train function.

    What was compiled serves later, too, unless it has to be separate. TensorFlow's always has: it
    keeps the random states of its operations, and the variables of metrics that are unbuilt again.

    Args:
        model: A compiled and built model.
        separate: Whether the function must share nothing with one that the model has, or will.
    """
    before = model.train_function
    separate = separate or keras.backend.backend() == "tensorflow"
    if separate:
        model.train_function = None
    try:
        with own_train_step(model) if separate else nullcontext():
            model.make_train_function()
        if keras.backend.backend() == "torch":
            model.train()
        yield
    finally:
        if separate:
            model.train_function = before


@contextmanager
def own_train_step(model: Any) -> Iterator[None]:
    """While the block runs, a train function is made that JAX has not traced before.

    It keeps what it traced of a bound method, also for a second jit of it.
    """
    step, missing = model.train_step, object()
    own = vars(model).get("train_step", missing)

    def another(*arguments: Any) -> Any:
        return step(*arguments)

    object.__setattr__(model, "train_step", another)
    try:
        yield
    finally:
        if own is missing:
            object.__delattr__(model, "train_step")
        else:
            object.__setattr__(model, "train_step", own)
