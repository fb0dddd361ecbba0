"""A search takes one copy of parameters and optimizer state more than training."""

import pytest

from tests.memory import EXACT, LEAST, MOST, measured, needs_peaks


@needs_peaks
@pytest.mark.parametrize("way", ["loss", "update"])
def test_one_copy_is_kept(way: str) -> None:
    found = measured("tests.optax.finding_memory", way)
    assert found["probes"] >= 3  # it was put back in between
    assert LEAST < found["peak"] < MOST
    assert found["arrays"] == pytest.approx(1, abs=EXACT)
