"""A model's train function: made anew, where it must share nothing with another, or stood in for.

JAX keeps what it traced of a bound method, such as ``model.train_step``, for as long as anything
keeps a jit of it, and takes that for every later jit, too: a model compiled again would go on with
the optimizer and loss that it had. Keras makes a new jit, and the old one is gone, if nothing else
holds it. So nothing of Layerwise may.
"""

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
        with untraced_train_step(model) if separate else nullcontext():
            model.make_train_function()
        if keras.backend.backend() == "torch":
            model.train()
        yield
    finally:
        if separate:
            model.train_function, before = before, None  # an error would keep this frame


class TrainFunctionProxy:
    """Stands in the place of a model's train function during ``fit``, and alone keeps that.

    ``model.compile()`` takes it out, and the function is gone with it.

    Args:
        plain: The train function.
        instead: Its method ``call`` is what ``fit`` calls for each batch.
    """

    def __init__(self, plain: Any, instead: Any) -> None:
        self.plain = plain
        self.instead = instead

    def __call__(self, *arguments: Any) -> Any:
        call = self.instead.call
        del self  # or an error's traceback, which notebooks keep, would keep the function
        return call(*arguments)


@contextmanager
def untraced_train_step(model: Any) -> Iterator[None]:
    """While the block runs, a train function is made that JAX has not traced before."""
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
