"""Whatever can be called gets one and the same error where a config would have to hold it."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from layerwise.errors import ConfigError
from layerwise.multipliers import Parameter, resolve
from layerwise.schedules import Schedule, cosine, from_function, warmup


def named(step, power=1.0):
    return 1.0 / (1.0 + step) ** power


class Decay:
    def __call__(self, step):
        return 1.0 / (1.0 + step)

    def at(self, step):
        return self(step)


@dataclass
class Unhashable:
    """It can be compared, but not hashed."""

    power: float = 1.0

    def __call__(self, step):
        return 1.0 / (1.0 + step)


def local():
    def inside(step):
        return 1.0 / (1.0 + step)

    return inside


FUNCTIONS = {
    "function": named,
    "partial": partial(named, power=1.0),
    "partial of a method": partial(Decay().at),
    "callable object": Decay(),
    "bound method": Decay().at,
    "lambda": lambda step: 1.0 / (1.0 + step),
    "local function": local(),
    "unhashable": Unhashable(),
    "numpy's": np.vectorize(named),
    "built-in": abs,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_a_function_without_a_name_has_the_one_error(function):
    schedule = from_function(function)
    for made in (schedule, warmup(5) >> schedule, (schedule * cosine(5)).delay(2), 2.0 * schedule):
        with pytest.raises(ConfigError) as caught:
            made.to_config()
        message = str(caught.value)
        assert "has no config, because a function can't be written as data" in message
        assert 'from_function(f, name="...")' in message
    again = from_function(function, name="mine", length=9)
    read = Schedule.from_config(again.to_config(), functions={"mine": function})
    assert read == again
    assert hash(read) == hash(again)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_it_works_as_a_rule_and_in_groups(function):
    schedule = from_function(function)
    plan = resolve(map(Parameter, "ab"), {"a": schedule, "b": schedule * 0.5})
    assert len(plan.groups) == 2
    assert plan.multipliers(3)[0] == pytest.approx(function(3))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_a_function_in_a_class_of_ones_own_says_how(function):
    @dataclass(frozen=True, repr=False)
    class Own(Schedule):
        function: object

        def evaluate(self, clock):
            return clock.xp.number(self.function(clock.step))

    with pytest.raises(ConfigError, match=r'can\'t hold.*from_function\(f, name="..."\)'):
        Own(function).to_config()


def test_a_name_of_its_own_in_the_config_is_refused():
    config = from_function(named, name="mine").to_config()
    config["schedule"]["arguments"]["name"] = "other"
    with pytest.raises(ConfigError, match="its name as 'function'"):
        Schedule.from_config(config, functions={"mine": named})
