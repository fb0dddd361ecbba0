"""A search on two devices sees what it sees on one, and leaves no trace on either."""

from typing import Any

import keras
import pytest

from tests._support.own_process import reported

BACKEND = keras.backend.backend()

pytestmark = pytest.mark.skipif(
    BACKEND == "torch", reason="Keras distributes on TensorFlow and JAX"
)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return reported(
        "tests._scripts.keras_finding_on_replicas",
        XLA_FLAGS="--xla_force_host_platform_device_count=2",
    )


def test_two_devices_see_what_one_sees(found: dict[str, Any]) -> None:
    assert len(found["curves"]) == (4 if BACKEND == "tensorflow" else 3)
    for alone, together in found["curves"].values():
        # Of each batch two means are taken, and then their mean: rounding of float32, 2e-7 in all.
        assert together["losses"] == pytest.approx(alone["losses"], rel=1e-5)
        assert together["losses"][-1] < 0.95 * together["losses"][1]  # the same batch, untrained
        assert together["group_factors"] == pytest.approx({"low": 0.5, "default": 1})
    plain, weighted, *_ = found["curves"].values()  # with other rates: only the first batch's loss
    assert plain[1]["losses"][0] != pytest.approx(weighted[1]["losses"][0], rel=1e-2)


def test_two_devices_suggest_what_one_suggests(found: dict[str, Any]) -> None:
    alone, together = found["curves"]["plain"]
    assert len(together["probes"]) >= 3
    assert together["suggestion"] == pytest.approx(alone["suggestion"], rel=1e-4)


@pytest.mark.parametrize("search", ["device", "host", "callback"])
def test_every_device_is_as_it_was(found: dict[str, Any], search: str) -> None:
    assert set(found["devices"]) == {2}
    assert found["left"][search] == []
    if BACKEND == "tensorflow":  # where one value for all would not do
        assert any("moving_mean" in path for path in found["differing"])
    assert found["callback"] == 10


def test_a_second_search_gives_the_same_curve(found: dict[str, Any]) -> None:
    assert found["again"]


def test_training_afterwards_is_training_without_it(found: dict[str, Any]) -> None:
    with_search, without = found["trained"]
    assert with_search == without
