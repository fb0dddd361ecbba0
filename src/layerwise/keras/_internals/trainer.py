"""The private parts of Keras' training that Layerwise leans on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import currentframe
from typing import Any, TypeAlias

import keras
import numpy as np
from keras.src import backend

from layerwise.errors import OptimizerError, RecorderError
from layerwise.keras._internals.data import map_leaves
from layerwise.keras._internals.optimizer import batch_count, rate_variable, trained_variables
from layerwise.keras._internals.tensorflow import where_fit_builds
from layerwise.keras._internals.train_function import is_of_keras
from layerwise.keras._internals.values import number_in
from layerwise.keras._internals.versions import missing

TRACKER, METRICS = "_loss_tracker", "_compile_metrics"

State = Sequence[list[Any]]
"""What the train function on JAX is called with and returns: the values of four lists.

They are those of the trainable variables, the other variables of the model, the optimizer's
variables and the variables of the metrics.
"""

OPTIMIZER_PART, METRICS_PART = 2, 3

Changes: TypeAlias = list[tuple[keras.Variable, Callable[[Any], Any]]]
"""Variables, each with a function from its value to the next one."""


def check_trainer(model: keras.Model) -> None:
    """Raise unless a compiled model trains in the way that per-batch values are read from.

    Args:
        model: What a callback is given.

    Raises:
        RecorderError: The model is not compiled, or this version of Keras works otherwise.
    """
    if not getattr(model, "compiled", False):
        raise RecorderError(f"The model {model!r} is not compiled: call model.compile() first.")
    for name in (TRACKER, METRICS, "train_function", "make_train_function", "train_step"):
        if not hasattr(model, name):
            raise missing(f"{type(model).__name__}.{name}", "recording each batch", RecorderError)


def step_metrics(model: keras.Model) -> tuple[keras.metrics.Metric, keras.metrics.Metric | None]:
    """What a training step updates: the mean of the loss, and the compiled metrics."""
    return getattr(model, TRACKER), getattr(model, METRICS)


def set_step_metrics(
    model: keras.Model, tracker: keras.metrics.Metric, metrics: keras.metrics.Metric | None
) -> None:
    """Make a training step update these."""
    # An ordinary assignment would add them to the metrics of the model.
    object.__setattr__(model, TRACKER, tracker)
    object.__setattr__(model, METRICS, metrics)


def rate_and_count(optimizer: keras.optimizers.Optimizer) -> dict[str, object]:
    """Copies of the base rate and the batch count, taken inside a training step.

    Empty on JAX, where both come out of the step in its state.
    """
    if keras.backend.backend() == "jax":
        return {}
    rate = rate_variable(optimizer)
    now = {"batches": keras.ops.copy(batch_count(optimizer).value)}
    return now if rate is None else now | {"rate": keras.ops.copy(rate.value)}


def state_variables(model: keras.Model) -> list[list[keras.Variable]]:
    """The variables whose values are a state, list by list."""
    return [
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    ]


def trained_values(state: State) -> list[Any]:
    """On JAX, the values of the trainable variables in a state."""
    return state[0]


class OptimizerState:
    """An optimizer's base rate and batch count between the training steps of ``fit``.

    On JAX they are in the state that is passed to each step, elsewhere in the variables.

    Args:
        optimizer: A built optimizer. Its variables are listed once, here.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._rate, self._count = rate_variable(optimizer), batch_count(optimizer)
        self._places = {id(v): place for place, v in enumerate(optimizer.variables)}

    def rate(self, state: State | None) -> float | None:
        """The base rate; None if a schedule or function gives it."""
        return None if self._rate is None else float(self._read(state, self._rate))

    def batches(self, state: State | None) -> int:
        """How many batches the optimizer has counted."""
        return int(self._read(state, self._count))

    def batches_on_device(self, state: State) -> object:
        """On JAX, a copy of the count, which nothing waits for."""
        return keras.ops.copy(state[OPTIMIZER_PART][self._places[id(self._count)]])

    def set_rate(self, arguments: tuple[Any, ...], rate: float) -> tuple[Any, ...]:
        """Set the base rate for the next step.

        Args:
            arguments: What the train function is about to be called with.
            rate: The rate.

        Returns:
            What to call it with instead.
        """
        assert self._rate is not None
        if keras.backend.backend() != "jax":
            self._rate.assign(rate)
            return arguments
        import jax

        state, *others = arguments
        place = self._places[id(self._rate)]
        values = list(state[OPTIMIZER_PART])
        old = values[place]
        values[place] = jax.device_put(np.asarray(rate, old.dtype), old.sharding)
        return (*state[:OPTIMIZER_PART], values, *state[OPTIMIZER_PART + 1 :]), *others

    def change(self, state: State | None, changes: Changes) -> State | None:
        """Change variables of the optimizer between two steps, without waiting for the device.

        Args:
            state: On JAX, what the last step has returned.
            changes: The variables, with functions of their values.

        Returns:
            On JAX, the state with the new values.
        """
        if state is None:
            for variable, new in changes:
                variable.assign(new(variable.value))
            return None
        values = list(state[OPTIMIZER_PART])
        for variable, new in changes:
            place = self._places[id(variable)]
            values[place] = new(values[place])
        return (*state[:OPTIMIZER_PART], values, *state[OPTIMIZER_PART + 1 :])

    def _read(self, state: State | None, variable: keras.Variable) -> Any:
        if keras.backend.backend() != "jax" or state is None:
            return number_in(variable)
        return state[OPTIMIZER_PART][self._places[id(variable)]]


def parts_built_by_fit(model: keras.Model) -> list[object]:
    """The objects in which ``fit`` builds something, other than weights, when it sees data."""
    optimizer = model.optimizer
    parts = [optimizer, getattr(optimizer, "inner_optimizer", None)]
    parts += [getattr(part, "_multiplied", None) for part in parts]  # of an LRMultiplier
    parts += [model._compile_metrics, model._compile_loss]
    parts += [getattr(part, "_tracker", None) for part in parts]
    return [part for part in parts if part is not None]


def build_as_fit_would(model: keras.Model, batch: object) -> tuple[int, ...] | None:
    """Build what ``fit`` builds when it first sees data.

    Args:
        model: A compiled model.
        batch: A batch in the form that the train function takes, of one replica.

    Returns:
        The shape of the loss on it; None if the model doesn't say without training.

    Raises:
        Exception: Keras' error, or the model's, if it can't train on such a batch.
    """

    def symbolic(array: Any) -> keras.KerasTensor:
        return keras.KerasTensor(array.shape, keras.backend.standardize_dtype(array.dtype))

    with where_fit_builds(model):
        try:
            model._symbolic_build(data_batch=batch)
        except Exception:
            if not (has_own_train_step(model) and keras.backend.backend() == "tensorflow"):
                raise
            # There ``fit`` builds nothing ahead, so that such a step may take any batch.
            model.optimizer.build(model.trainable_variables)
            return None
        try:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(map_leaves(symbolic, batch))
            prediction = backend.compute_output_spec(model, x, training=False)
            loss = backend.compute_output_spec(
                model._compute_loss, x, y, prediction, sample_weight=weight, training=False
            )
            return tuple(loss.shape)
        except Exception:
            if has_own_train_step(model) or model._compile_loss is None:
                return None  # it may train without these methods
            raise


def has_own_train_step(model: keras.Model) -> bool:
    """Whether the model has a ``train_step()`` of the user's."""
    return "train_step" in vars(model) or type(model).train_step is not keras.Model.train_step


def tells_its_loss(model: keras.Model) -> bool:
    """Whether the loss of a batch is known without training on it."""
    own = "test_step" in vars(model) or type(model).test_step is not keras.Model.test_step
    compute_loss = type(model).compute_loss is not keras.Model.compute_loss
    return own or compute_loss or not has_own_train_step(model) or model._compile_loss is not None


def give_arrays_away(model: keras.Model) -> None:
    """On JAX, let go of the arrays in all variables, because a step takes them over."""
    model._purge_model_variables(True, True, True, True)


@contextmanager
def arrays_given_back() -> Iterator[None]:
    """Where the block raises inside a step of ``fit``, the model keeps its weights.

    On JAX ``fit`` takes the arrays out of all variables for the first step of an epoch, and puts
    back only what the step returns.
    """
    try:
        yield
    except BaseException:
        if keras.backend.backend() == "jax":
            _give_arrays_back()
        raise


def _give_arrays_back() -> None:
    frame = currentframe()
    while frame is not None and not is_of_keras(frame, "fit"):
        frame = frame.f_back
    found = {} if frame is None else frame.f_locals
    model, state = found.get("self"), found.get("state")
    if isinstance(model, keras.Model) and state is not None:
        for variables, values in zip(state_variables(model), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable._value = value
        model._jax_state_synced = True


def check_trained(optimizer: keras.optimizers.Optimizer) -> None:
    """Raise if it is known that ``fit`` trains other weights than an optimizer was built on.

    On TensorFlow and PyTorch Keras' optimizers see which weights they get. On JAX they see values
    alone; but for its first step ``fit`` takes the arrays out of what it trains.

    Raises:
        OptimizerError: The weights are those of another model.
    """
    if keras.backend.backend() != "jax" or batch_count(optimizer)._value is not None:
        return
    others = [v.path for v in trained_variables(optimizer) if v._value is not None]
    if others:
        raise OptimizerError(
            f"The optimizer {optimizer.name!r} was built on the weights of another model, such as "
            f"{others[0]!r}, and would give their rates and state to those that train now. Compile "
            "each model with an optimizer of its own."
        )
