"""A search takes one copy of parameters and optimizer state more than training."""

import pytest

from tests._support.memory import check_copies, needs_peaks


@needs_peaks
@pytest.mark.parametrize("way", ["loss", "update"])
def test_one_copy_is_kept(way: str) -> None:
    check_copies("tests._scripts.optax_finding_memory", way)
