"""A search takes one copy of weights and slots more than training, on the host if asked for."""

import pytest

from tests._support.memory import check_copies, needs_peaks


@needs_peaks
@pytest.mark.parametrize(("memory", "arrays"), [("device", 1), ("host", 0)])
def test_one_copy_is_kept(memory: str, arrays: int) -> None:
    check_copies("tests._scripts.keras_finding_memory", memory, arrays)
