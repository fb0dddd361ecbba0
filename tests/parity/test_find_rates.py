"""Equal weights, data and seeds give equal rules on all five backends."""

from typing import Any

import pytest

from layerwise.finder import RatesFinding
from tests._support.own_process import reported
from tests._support.parity import searched


@pytest.fixture(scope="module")
def keras_findings() -> dict[str, dict[str, RatesFinding]]:
    """What each Keras backend found, in a process of its own."""
    found: dict[str, dict[str, Any]] = {
        backend: reported("tests._scripts.parity_find_rates_keras", KERAS_BACKEND=backend)
        for backend in ("jax", "tensorflow", "torch")
    }
    return {
        backend: {name: RatesFinding.from_config(config) for name, config in each.items()}
        for backend, each in found.items()
    }


def _as_keras(key: str) -> str:
    """A key of rules by Keras' names."""
    return key.replace(".", "/").replace("weight", "kernel")


@pytest.mark.parametrize("name", searched.OPTIMIZERS)
def test_every_probe_and_the_rules(
    name: str, keras_findings: dict[str, dict[str, RatesFinding]]
) -> None:
    found = {backend: each[name] for backend, each in keras_findings.items()}
    found |= {"torch-native": searched.with_torch(name), "optax": searched.with_optax(name)}
    reference = found.pop("jax")
    assert len(reference.probes) >= 4
    assert len(reference.bands) == 3
    for backend, other in found.items():
        rules = {_as_keras(key): value for key, value in other.rules.items()}
        assert rules == pytest.approx(reference.rules, rel=1e-6), backend
        # Adam's probes are the less exact ones: they may move the answer by a step of its grid.
        near = 1e-4 if name == "sgd" else 0.13
        assert other.learning_rate == pytest.approx(reference.learning_rate, rel=near), backend
        # Sums of float32 in another order, through the updates of a probe.
        assert other.untrained == pytest.approx(reference.untrained, rel=1e-5), backend
        pairs = list(zip(other.probes, reference.probes, strict=True))
        assert [p.tilt for p, _ in pairs] == [p.tilt for _, p in pairs], backend
        assert [p.rate for p, _ in pairs] == pytest.approx([p.rate for _, p in pairs], rel=1e-4)
        # Where training is wild or broke, rounding grows without end: all that counts is that a
        # probe gained little or nothing.
        starts = [0.6 * reference.untrained[p.division] for _, p in pairs]
        ours, theirs = (
            [min(pair[n].score, start) for pair, start in zip(pairs, starts, strict=True)]
            for n in (0, 1)
        )
        assert ours == pytest.approx(theirs, rel=1e-3), backend
