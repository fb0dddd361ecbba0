"""PyTorch: Keras' fused optimizers update all variables in one call, each at its own rate."""

from typing import Any

import keras
import numpy as np
import pytest

from layerwise import linear
from layerwise.errors import OptimizerError
from layerwise.keras import LRMultiplier
from layerwise.keras._internals.versions import TRIED
from tests._support.keras.optimizers import OPTIMIZERS, make
from tests._support.keras.variables import bits, make_gradients, make_variables

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="of Keras' optimizers for PyTorch"
)

FUSED = [name for name in OPTIMIZERS if hasattr(type(make(name)), "_parallel_update_step")]
RULES = {"low": 0.3, "high": linear(8, start=1.7, end=0.5)}


def test_the_fused_optimizers_are_those_that_keras_has() -> None:
    assert {name.partition("-")[0] for name in FUSED} == {
        *("sgd", "adam", "adamw", "rmsprop", "adadelta", "adagrad", "adamax", "nadam", "lion"),
    }


@pytest.mark.parametrize("name", FUSED)
def test_one_call_updates_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    optimizer, variables = LRMultiplier(make(name, weight_decay=0.01), RULES), make_variables()
    plain = type(make(name))
    found = {}
    for method in ("_parallel_update_step", "_apply_weight_decay"):
        original = getattr(plain, method)
        found[method] = sizes = []

        def counted(self: Any, *args: Any, original: Any = original, sizes: Any = sizes) -> None:
            sizes.append(len(args[-2] if len(args) == 3 else args[-1]))
            original(self, *args)

        counted.__module__ = original.__module__
        monkeypatch.setattr(plain, method, counted)
    for step in range(3):
        optimizer.apply(make_gradients(step), variables)
    assert found == {"_parallel_update_step": [6] * 3, "_apply_weight_decay": [6] * 3}


def test_variables_whose_decay_differs_decay_apart() -> None:
    rules = {"low": 0.5, "high": 2.0}
    mine, theirs = make_variables(), make_variables()
    optimizer = LRMultiplier(make("adamw", weight_decay=0.1), rules, decay_rules={"middle": 0.25})
    for step in range(3):
        optimizer.apply(make_gradients(step), mine)
    apart = [
        make("adamw", factor, weight_decay=decay)
        for factor, decay in ((0.5, 0.1), (1.0, 0.025), (2.0, 0.1))
    ]
    for step in range(3):
        gradients = make_gradients(step)
        for i, one in enumerate(apart):
            one.apply(gradients[2 * i : 2 * i + 2], theirs[2 * i : 2 * i + 2])
    assert bits(mine) == bits(theirs)


def test_a_step_of_the_users_gets_one_rate() -> None:
    rates = []

    class Signed(type(make("sgd"))):  # type: ignore[misc]
        """Goes by the sign alone, at rates that Python's own arithmetic reads."""

        def _parallel_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
            rates.append(round(float(learning_rate), 6))
            for gradient, variable in zip(grads, variables, strict=True):
                variable.assign_sub(float(learning_rate) * torch.sign(gradient))

    optimizer, variables = LRMultiplier(Signed(0.1), {"low": 0.5, "high": 2.0}), make_variables()
    before = [np.array(v) for v in variables]
    optimizer.apply(make_gradients(0), variables)
    assert rates == [0.05, 0.1, 0.2]
    for i, (variable, old) in enumerate(zip(variables, before, strict=True)):
        moved = np.abs(np.array(variable) - old)
        np.testing.assert_allclose(moved, rates[i // 2], rtol=1e-5)  # float32


@pytest.mark.parametrize(
    "use",
    [
        torch.sin,
        lambda rate: rate + torch.ones(6),
        lambda rate: torch._foreach_div([torch.ones(2)] * 6, rate),
        lambda rate: torch.add(torch.ones(2), torch.ones(2), alpha=rate),
        float,
    ],
)
def test_what_a_later_keras_might_do_with_a_rate_is_an_error(
    use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(self: Any, grads: Any, variables: Any, learning_rate: Any) -> None:
        use(learning_rate)

    plain = type(make("sgd"))
    later.__module__ = plain._parallel_update_step.__module__
    monkeypatch.setattr(plain, "_parallel_update_step", later)
    optimizer, variables = LRMultiplier(make("sgd"), RULES), make_variables()
    with pytest.raises(OptimizerError, match=rf"calls torch\.\w+\(\) with the .*Keras {TRIED}"):
        optimizer.apply(make_gradients(0), variables)


@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
def test_other_types_of_numbers(floatx: str) -> None:
    known = keras.backend.floatx()
    keras.backend.set_floatx(floatx)
    try:
        mine, theirs = (
            [keras.Variable(np.ones(3), dtype=floatx, name=n) for n in "ab"] for _ in range(2)
        )
        gradients = [keras.ops.convert_to_tensor([0.1, 0.2, 0.3], floatx)] * 2
        optimizer = LRMultiplier(make("adam"), {"a": 0.3})
        apart = [make("adam"), make("adam")]
        apart[0].learning_rate = apart[0].learning_rate * 0.3
        for _ in range(3):
            optimizer.apply(gradients, mine)
            for one, variable in zip(apart, theirs, strict=True):
                one.apply(gradients[:1], [variable])
        for found, expected in zip(mine, theirs, strict=True):
            assert found.dtype == floatx
            assert torch.equal(found.value, expected.value)
    finally:
        keras.backend.set_floatx(known)
