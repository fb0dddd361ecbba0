"""A search takes one copy of weights and optimizer state more than training."""

import pytest

from tests._support.memory import check_copies, needs_peaks


@needs_peaks
@pytest.mark.parametrize(("gradients", "beside"), [("cleared", 0), ("left", 1 / 3)])
def test_one_copy_is_kept(gradients: str, beside: float) -> None:
    # Gradients that are left are kept themselves: there is no copy of them.
    check_copies("tests._scripts.torch_finding_memory", gradients, beside=beside)
