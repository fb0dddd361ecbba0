"""A model's train function: made again without shared traces, or with a proxy in its place.

JAX keeps what it traced of a bound method, such as ``model.train_step``, for as long as something
holds a jit of it, and uses that for every later jit as well. A model that is compiled again would
then go on with its old optimizer and loss. Keras makes a new jit, so the old one is gone unless
somebody else holds it. Nothing in Layerwise may.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import currentframe
from types import FrameType
from typing import Any, Literal, Protocol

import keras

TrainFunction = Callable[..., Any]


class StepRunner(Protocol):
    """What runs the steps of ``fit`` in place of a train function."""

    def call(self, *arguments: Any) -> object:
        """Run one step; takes and returns what the train function does."""

    def call_between(self, *arguments: Any) -> object:
        """Run the step of a ``train_on_batch()``, which is not a step of ``fit``."""


@contextmanager
def ready_to_train(model: keras.Model, separate: bool) -> Iterator[None]:
    """While the block runs, the model is as ``fit`` has it when it calls the train function.

    What is compiled meanwhile serves later training too, unless it must be separate. On TensorFlow
    it always must: a compiled function keeps the random states of its operations, and variables of
    metrics that are unbuilt again.

    Args:
        model: A compiled and built model.
        separate: Whether the function must share nothing with the model's other train functions.
    """
    before = model.train_function
    separate = separate or keras.backend.backend() == "tensorflow"
    try:
        if separate:
            model.train_function = untraced_train_function(model)
        else:
            model.make_train_function()
        if keras.backend.backend() == "torch":
            model.train()
        _note_shardings(model)
        yield
    finally:
        if separate:
            model.train_function = before
        del before  # a traceback, which notebooks keep, would keep the function


def _note_shardings(model: keras.Model) -> None:
    """What ``fit`` notes on JAX in Keras 3.10, and its train step reads; later ones need none."""
    note = getattr(model, "_record_training_state_sharding_spec", None)
    if note is not None and keras.backend.backend() == "jax":
        note()


def untraced_train_function(model: keras.Model) -> TrainFunction:
    """A new train function of the model that JAX has not traced before."""
    return _untraced_function(model, "train")


class TrainFunctionProxy:
    """Takes the place of a model's train function during ``fit``, and alone holds that.

    ``model.compile()`` removes the proxy, and the function is gone with it.

    Args:
        original: The train function.
        runner: What runs each step instead.
    """

    def __init__(self, original: TrainFunction, runner: StepRunner) -> None:
        self.original = original
        self.runner = runner

    def __call__(self, *arguments: Any) -> object:
        # On PyTorch the arguments are the same, so only the caller tells the two apart.
        frame = currentframe()
        caller = frame.f_back if frame is not None else None
        between = caller is not None and is_of_keras(caller, "train_on_batch")
        call = self.runner.call_between if between else self.runner.call
        del self, frame, caller  # a traceback, which notebooks keep, would keep the function
        return call(*arguments)


def is_of_keras(frame: FrameType, name: str) -> bool:
    """Whether a frame is that of a function of Keras, and not of a user's of the same name."""
    module = str(frame.f_globals.get("__name__"))
    return frame.f_code.co_name == name and module.startswith("keras.")


def untraced_test_function(model: keras.Model) -> TrainFunction:
    """A new test function of the model that JAX has not traced before."""
    return _untraced_function(model, "test")


def _untraced_function(model: keras.Model, kind: Literal["train", "test"]) -> TrainFunction:
    name = f"{kind}_function"
    before = getattr(model, name)
    setattr(model, name, None)
    try:
        with _untraced(model, f"{kind}_step"):
            getattr(model, f"make_{name}")()
        made: TrainFunction = getattr(model, name)
        return made
    finally:
        setattr(model, name, before)
        del before  # a traceback, which notebooks keep, would keep the function


@contextmanager
def evaluating(model: keras.Model) -> Iterator[None]:
    """While the block runs, the model is in the mode in which ``evaluate`` has it."""
    if keras.backend.backend() != "torch":
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()


@contextmanager
def _untraced(model: keras.Model, name: str) -> Iterator[None]:
    """While the block runs, a step of the model is a function that JAX has never seen."""
    step, missing = getattr(model, name), object()
    before = vars(model).get(name, missing)

    def untraced_step(*arguments: Any) -> object:
        return step(*arguments)

    object.__setattr__(model, name, untraced_step)
    try:
        yield
    finally:
        if before is missing:
            object.__delattr__(model, name)
        else:
            object.__setattr__(model, name, before)
