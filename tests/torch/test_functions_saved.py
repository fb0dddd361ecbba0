"""Whatever may be a schedule or multiplier can be saved, or says how."""

import copy
import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from layerwise import cosine, from_function
from layerwise.errors import ConfigError
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import make_network


def inverse(step: int, scale: float = 10.0) -> float:
    return 1 / (1 + step / scale)


class Halving:
    def __call__(self, step: int) -> float:
        return 0.5**step

    def method(self, step: int) -> float:
        return 0.25**step


PICKLED: dict[str, Any] = {
    "function": inverse,
    "partial": partial(inverse, scale=3.0),
    "object": Halving(),
    "method": Halving().method,
    "ufunc": np.exp2,
    "named": from_function(partial(inverse, scale=2.0), name="inverse") * cosine(9),
}


def inside() -> Callable[[int], float]:
    def function(step: int) -> float:
        return 1 / (1 + step)

    return function


UNPICKLED: dict[str, Any] = {
    "lambda": lambda step: 1 / (1 + step),
    "inside": inside(),
    "partial of a lambda": partial(lambda scale, step: 1 / (1 + step / scale), 4.0),
    "schedule of a lambda": from_function(lambda step: 1 / (1 + step)) * cosine(9),
}
EVERY = PICKLED | UNPICKLED
PLACES = ("rule", "schedule", "list", "momentum", "weight decay")


def make(value: Any, place: str) -> tuple[Any, Any, Any]:
    model = make_network()
    rules = {"backbone": value} if place == "rule" else {}
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1, weight_decay=0.1), momentum=0.9)
    options: dict[str, Any] = {
        "schedule": {"schedule": value},
        "list": {"schedule": [value]},
        "momentum": {"momentum": value},
        "weight decay": {"weight_decay_factor": value},
    }
    return model, optimizer, ScheduleLR(optimizer, **options.get(place, {}))


def settings(optimizer: Any) -> list[Any]:
    keys = ("lr", "momentum", "weight_decay")
    return [[group[key] for key in keys] for group in optimizer.param_groups]


def advanced(optimizer: Any, scheduler: Any) -> list[Any]:
    optimizer.step()
    scheduler.step()
    return settings(optimizer)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EVERY)
def test_a_state_goes_through_a_file_and_the_function_stays(name: str, place: str) -> None:
    _, optimizer, scheduler = make(EVERY[name], place)
    advanced(optimizer, scheduler)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    _, other, resumed = make(EVERY[name], place)
    other.load_state_dict(state["optimizer"])
    resumed.load_state_dict(state["scheduler"])
    assert settings(other) == settings(optimizer)
    assert advanced(other, resumed) == advanced(optimizer, scheduler)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", EVERY)
def test_a_copy_has_the_same_functions(name: str, place: str) -> None:
    _, optimizer, scheduler = make(EVERY[name], place)
    advanced(optimizer, scheduler)
    _, other, resumed = copy.deepcopy((_, optimizer, scheduler))
    assert resumed.optimizer is other
    assert advanced(other, resumed) == advanced(optimizer, scheduler)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", PICKLED)
def test_what_can_be_pickled_is(name: str, place: str) -> None:
    _, optimizer, scheduler = make(PICKLED[name], place)
    advanced(optimizer, scheduler)
    resumed = pickle.loads(pickle.dumps(scheduler))
    assert advanced(resumed.optimizer, resumed) == advanced(optimizer, scheduler)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", UNPICKLED)
def test_what_cannot_be_pickled_says_the_way_out(name: str, place: str) -> None:
    _, optimizer, scheduler = make(UNPICKLED[name], place)
    advanced(optimizer, scheduler)
    with pytest.raises(ConfigError, match=r"can't be pickled.*state_dict\(\).*same function"):
        pickle.dumps(scheduler)
    advanced(optimizer, scheduler)  # nothing has happened to it
