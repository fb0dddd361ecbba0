"""The coordinate check on trials whose powers of the width are known."""

import json

import numpy as np
import pytest

from layerwise.errors import MultiplierError
from layerwise.multipliers import (
    Decided,
    Parameter,
    ParameterStrategy,
    WidthCheck,
    measure_widths,
    resolve,
)


def powers(size=0.0, change=0.0):
    """A kind of trial: activations of a size, and changes of a size, that are powers of width."""

    class Trial:
        def __init__(self, width, seed):
            del seed
            self.now = np.full((4, width), width**size)
            self.change = width**change

        def activations(self):
            return {"dense": self.now.copy(), "head": np.ones(3)}

        def step(self):
            self.now += self.change

    return Trial


@pytest.mark.parametrize(("size", "change"), [(0.0, 0.0), (0.5, 0.0), (-0.5, 1.0), (0.0, -0.5)])
def test_powers_of_the_width_are_found(size, change):
    check = measure_widths(powers(size, change), [64, 16, 256], steps=3)
    assert check.widths == (16, 64, 256)
    assert check.size_growth["dense"] == pytest.approx(size, abs=1e-9)
    assert check.change_growth["dense"] == pytest.approx(change, abs=1e-9)
    assert np.isnan(check.change_growth["head"])  # it never moves, which is no finding
    assert check.passes == (size == 0 and change == 0)
    assert check.growing == ("dense",)
    assert np.shape(check.changes) == (2, 3, 4)
    assert check.changes[0][0][0] == 0


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        (powers(), "The rates transfer from width 16 to 64: after 5 updates"),
        (powers(0.5), "before training, activations grow with the width in dense"),
        (powers(0.0, 1.0), r"changes grow with the width in dense \(as width\^1\)"),
        (
            powers(-0.5),
            r"before training, activations vanish with the width in dense (as width^-0.5)",
        ),
        (powers(0.0, -1.0), r"changes vanish with the width in dense \(as width\^-1\)"),
    ],
)
def test_the_verdict_says_it_in_words(trial, words):
    with np.errstate(all="raise"):
        assert words.replace("\\", "") in measure_widths(trial, [16, 64]).verdict


def test_an_output_may_start_smaller_in_a_wider_model():
    class Output(powers()):
        def activations(self):
            return {"dense": self.now.copy(), "head": self.now[:, :3] / self.width**0.5}

        def __init__(self, width, seed):
            super().__init__(width, seed)
            self.width = width

        def step(self):
            self.now += 0.1 * self.width**0.5

    check = measure_widths(Output, [16, 64])
    assert check.size_growth["head"] == pytest.approx(-0.5)
    assert "vanish" not in check.verdict


def test_changes_of_layers_that_start_too_small_need_no_higher_rates():
    verdict = measure_widths(powers(-0.5, -0.5), [16, 64]).verdict
    assert "Start these layers, or those before them" in verdict
    assert "higher rates" not in verdict


def test_what_diverges_does_not_pass():
    class Diverges(powers()):
        def step(self):
            self.now *= np.inf

    check = measure_widths(Diverges, [16, 64])
    assert not check.passes
    assert "grow" in check.verdict


def test_repeats_are_averaged():
    class Seeded(powers()):
        def __init__(self, width, seed):
            super().__init__(width, seed)
            self.change = seed + 1.0

    check = measure_widths(Seeded, [16, 64], steps=1, repeats=3)
    assert check.changes[0][0][1] == pytest.approx(2.0)


def test_it_is_plain_data():
    check = measure_widths(powers(), [16, 64])
    assert json.loads(json.dumps(check.to_dict()))["layers"] == ["dense", "head"]
    assert hash(check) == hash(measure_widths(powers(), [16, 64]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": [64]}, "at least two different"),
        ({"widths": [64, 64]}, "at least two different"),
        ({"widths": "64"}, "a list of widths"),
        ({"widths": 64}, "a list of widths"),
        ({"widths": [0, 64]}, "at least 1"),
        ({"steps": 0}, "steps must"),
        ({"repeats": 0}, "repeats must"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(MultiplierError, match=message):
        measure_widths(powers(), **({"widths": [16, 64]} | arguments))


def test_models_without_a_layer_in_common_are_refused():
    class Named(powers()):
        def __init__(self, width, seed):
            super().__init__(width, seed)
            self.name = f"dense_{width}"

        def activations(self):
            return {self.name: self.now.copy()}

    with pytest.raises(MultiplierError, match=r"'dense_16'.*'dense_64'"):
        measure_widths(Named, [16, 64])


def test_the_picture_has_a_line_for_each_layer():
    from matplotlib import pyplot

    check = measure_widths(powers(0.0, 1.0), [16, 64])
    assert isinstance(check, WidthCheck)
    ax = check.plot()
    dense = ax.get_lines()[0]
    assert dense.get_label() == "dense (width^1.00)"
    assert dense.get_xdata().tolist() == [16, 64]
    np.testing.assert_allclose(dense.get_ydata(), [80, 320])
    pyplot.close("all")


def test_a_strategy_by_parameter_must_decide_on_each():
    class Short(ParameterStrategy):
        def decide(self, parameters, needed, model, separator):
            return Decided([])

    with pytest.raises(MultiplierError, match="decides on 0 parameters of 1"):
        resolve([Parameter("a")], Short())
