"""The private parts of Keras that are leaned on are there, and their absence is said clearly."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from layerwise import from_function, piecewise_constant
from layerwise.errors import MultiplierError, OptimizerError
from layerwise.keras import LRMultiplier
from layerwise.keras._internals.classes import become
from layerwise.keras._internals.optimizer import HOOKS, check_hooks
from layerwise.keras._internals.versions import TRIED
from tests._support.keras.networks import fit, make_data, make_network
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import arrays, bits, make_gradients, make_variables


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_built_in_optimizer_has_the_hooks(name: str) -> None:
    check_hooks(type(make(name)))


@pytest.mark.parametrize("name", HOOKS)
def test_a_missing_hook_is_named_with_the_version(name: str) -> None:
    class Later(keras.optimizers.SGD):
        """SGD of a Keras to come."""

    setattr(Later, name, None)
    versions = re.escape(f"Keras {keras.__version__}") + ".*" + re.escape(TRIED)
    with pytest.raises(OptimizerError, match=rf"Later\.{name}.*{versions}"):
        check_hooks(Later)


def test_the_versions_that_a_message_names_are_those_that_the_tests_run_with() -> None:
    root = Path(__file__).resolve().parents[2]
    tried = [
        re.search(r"^keras==(\d+\.\d+)", (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name in ("constraints-oldest.txt", "constraints.txt")
    ]
    assert " and ".join(found[1] for found in tried if found) == TRIED
    assert ".".join(keras.__version__.split(".")[:2]) in TRIED


def test_every_variable_is_asked_for() -> None:
    """The contract itself: whatever the backend, every variable's rate is looked up."""
    asked: list[int] = []
    optimizer = LRMultiplier("nadam", {"low": 0.5})
    variables = make_variables()
    optimizer.build(variables)
    factor = optimizer._factors.factor
    optimizer._factors.factor = lambda index: (asked.append(index), factor(index))[1]
    optimizer.apply(make_gradients(0), variables)
    assert set(asked) == set(range(6))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}])
def test_every_state_of_a_built_in_optimizer_has_an_owner(
    name: str, options: dict[str, Any]
) -> None:
    variables = make_variables()
    optimizer = LRMultiplier(make(name, **options), {"low": 0.5})
    optimizer.build(variables)
    slots = optimizer.slots()
    assert slots.unknown == []
    assert [v.shape for v in slots.shared] == [()] * (name == "nadam")
    assert len({len(own) for own in slots.of_variable}) <= 1 + (name == "muon")
    aside = 2 + len(variables) * ("use_ema" in options)  # the count, the rate and the averages
    assert sum(map(len, slots.of_variable)) + len(slots.shared) + aside == len(optimizer.variables)
    # A slot is named after its variable.
    for variable, own in zip(variables, slots.of_variable, strict=True):
        for state in own:
            named = variable.path.replace("/", "_") in state.path
            assert named or (name == "adafactor" and state.name == variable.name)


class KeepsADict(keras.optimizers.Optimizer):
    """SGD with momentum that keeps its state where it can't be told whose it is."""

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.momenta = {v.path: self.add_variable(v.shape, name="momentum") for v in variables}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        momentum = self.momenta[self._trainable_variables[self._get_variable_index(variable)].path]
        momentum.assign(0.5 * momentum + gradient)
        variable.assign(variable - learning_rate * momentum)


def test_state_of_unknown_owners_is_refused_where_a_variable_freezes_for_some_steps() -> None:
    LRMultiplier(KeepsADict(0.1), {"low": 0.5, "middle": 0.0}).build(make_variables())
    freezing = LRMultiplier(KeepsADict(0.1), {"low": piecewise_constant([3], [0.0, 1.0])})
    variables = make_variables()
    for _ in range(2):
        with pytest.raises(OptimizerError, match=r"'momentum'.*add_variable_from_reference"):
            freezing.apply(make_gradients(0), variables)
    assert bits(variables) == bits(make_variables())


def test_a_class_with_a_name_of_ours_is_refused() -> None:
    class Planned(keras.optimizers.SGD):
        """SGD with a method that LRMultiplier has, too."""

        def plan(self) -> None:
            """What it does is nothing here."""

    with pytest.raises(OptimizerError, match=r"Planned has an attribute 'plan'.*Rename it"):
        LRMultiplier(Planned(), {"low": 0.5})


def test_a_class_that_can_not_be_extended_is_refused() -> None:
    class Slotted:
        __slots__ = ("value",)

    class More(Slotted):
        __slots__ = ("other",)

    with pytest.raises(MultiplierError, match=r"to a Slotted.*__slots__"):
        become(Slotted(), More, MultiplierError)


def test_a_config_that_makes_another_class_is_refused() -> None:
    class Fixed(keras.optimizers.SGD):
        """SGD whose config always makes a plain SGD."""

        @classmethod
        def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
            return keras.optimizers.SGD.from_config(config)

    with pytest.raises(OptimizerError, match=r"Fixed\.from_config\(\) returned a SGD"):
        LRMultiplier(Fixed(), {"low": 0.5})


def test_the_source_is_not_touched() -> None:
    source = make("adam", weight_decay=0.01)
    before = dict(vars(source))
    LRMultiplier(source, {"low": 0.5})
    assert vars(source) == before
    assert type(source) is type(make("adam"))


def test_a_deep_copy_trains_on_its_own() -> None:
    optimizer = LRMultiplier(make("adam"), {"low": 0.5})
    other = copy.deepcopy(optimizer)
    mine, theirs = make_variables(), make_variables()
    for step in range(3):
        optimizer.apply(make_gradients(step), mine)
    for step in range(3):
        other.apply(make_gradients(step), theirs)
    assert bits(mine) == bits(theirs)


def test_a_pickle_keeps_rules_and_class() -> None:
    optimizer = pickle.loads(pickle.dumps(LRMultiplier(make("adam"), {"low": 0.5})))
    assert isinstance(optimizer, LRMultiplier)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert optimizer.plan_for(make_variables()).rows[0].value == 0.5


class ReadsItsRate(keras.optimizers.Optimizer):
    """An optimizer that ignores the rate it is handed and reads its own."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        variable.assign(variable - self.learning_rate * gradient)


def test_an_optimizer_that_reads_its_own_rate_is_multiplied_too() -> None:
    mine, theirs = make_variables(), make_variables()
    LRMultiplier(ReadsItsRate(0.1), {"low": 0.25}).apply(make_gradients(0), mine)
    LRMultiplier(keras.optimizers.SGD(0.1), {"low": 0.25}).apply(make_gradients(0), theirs)
    for a, b in zip(arrays(mine), arrays(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_weights_of_a_framework_without_paths() -> None:
    """A tf.Variable, as in a loop of one's own, has a name and no path."""
    if keras.backend.backend() != "tensorflow":
        variable = make_variables()[0]
        assert variable.path == "low/kernel"
        return
    import tensorflow as tf

    weight = tf.Variable([1.0, 2.0], name="weight")
    LRMultiplier(keras.optimizers.SGD(1.0), {"weight": 0.5}).apply([tf.ones(2)], [weight])
    np.testing.assert_array_equal(weight.numpy(), [0.5, 1.5])


def test_a_function_of_the_backends_operations_in_a_schedule() -> None:
    schedule = from_function(lambda t: 2.0 - ops.minimum(1.9, t * 1e-1)) * 0.5
    optimizer = LRMultiplier(keras.optimizers.SGD(1.0), schedule=schedule)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, loss=lambda y, p: ops.mean(p))
    x, y = make_data(8)
    moved = []
    for _ in range(3):
        before = arrays(model.weights)[0]
        model.train_on_batch(x, y)
        moved.append(before - arrays(model.weights)[0])
    np.testing.assert_allclose(moved[1] / moved[0], 0.95, rtol=1e-3)
    np.testing.assert_allclose(moved[2] / moved[0], 0.9, rtol=1e-3)


def test_a_function_with_a_length_as_multiplier_is_called_with_single_steps() -> None:
    """Built within TensorFlow's trace, where nothing can be read off a curve of it."""
    function = from_function(lambda t: 0.0 * t + ops.minimum(0.5, t * 0.0), length=50)
    model = make_network()
    before = bits(model.weights)
    fit(model, LRMultiplier("sgd", {"low": function * 0.5}))
    assert bits(model.weights)[:2] == before[:2]
    assert bits(model.weights)[2:] != before[2:]


@pytest.mark.parametrize("name", ["adam", "sgd-momentum", "adagrad"])
@pytest.mark.parametrize("rule", [0.5, lambda step: 0.5 + 0.0 * step])
def test_sparse_embedding_gradients(name: str, rule: Any) -> None:
    """TensorFlow hands an embedding's gradient on as indices and rows."""

    def train(optimizer: Any) -> list[np.ndarray]:
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((3,), dtype="int32"),
                keras.layers.Embedding(9, 4, name="words"),
                keras.layers.Flatten(),
                keras.layers.Dense(1, name="head"),
            ]
        )
        model.compile(optimizer, loss="mse", jit_compile=False)
        tokens = np.random.default_rng(0).integers(0, 7, (32, 3))
        model.fit(tokens, tokens.sum(1), batch_size=8, shuffle=False, verbose=0)
        return arrays(model.weights)

    mine = train(LRMultiplier(make(name, 2.0), {"words": rule, "head": 0.5}))
    theirs = train(make(name))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
