"""A search takes one copy of weights and slots more than training, on the host if asked for."""

import pytest

from tests.memory import EXACT, LEAST, MOST, measured, needs_peaks


@needs_peaks
@pytest.mark.parametrize("memory", ["device", "host"])
def test_one_copy_is_kept(memory: str) -> None:
    found = measured("tests.keras.finding_memory", memory)
    assert found["probes"] >= 3  # it was put back in between
    assert LEAST < found["peak"] < MOST
    assert found["arrays"] == pytest.approx(0 if memory == "host" else 1, abs=EXACT)
