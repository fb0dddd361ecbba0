"""A search takes one copy of weights and optimizer state more than training."""

import pytest

from tests.memory import EXACT, LEAST, MOST, measured, needs_peaks


@needs_peaks
@pytest.mark.parametrize("gradients", ["cleared", "left"])
def test_one_copy_is_kept(gradients: str) -> None:
    found = measured("tests.torch.finding_memory", gradients)
    kept = 1 / 3 if gradients == "left" else 0  # themselves, and no copy of them
    assert found["probes"] >= 3  # it was put back in between
    assert LEAST + kept < found["peak"] < MOST + kept
    assert found["arrays"] == pytest.approx(1 + kept, abs=EXACT)
