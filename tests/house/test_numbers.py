"""How numbers are written."""

import pytest

from layerwise._numbers import counted, duration, number_text, step_text, whole_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.001, "1e-3"),
        (0.01, "0.01"),
        (-2.5e-7, "-2.5e-7"),
        (0.123456, "0.1235"),
        (12_345.6, "12,346"),
        (1.0, "1"),
        (3e9, "3e9"),
        (float("inf"), "∞"),
        (float("-inf"), "-∞"),
        (float("nan"), "NaN"),
        (0.00025, "2.5e-4"),
        (0.3, "0.3"),
        (-0.5, "-0.5"),
        (800.0, "800"),
        (999_999.4, "999,999"),
        (999_999.9, "1e6"),
        (2e7, "2e7"),
    ],
)
def test_a_number_is_written_as_a_person_would(value, text):
    assert number_text(value) == text


def test_spans_and_counts():
    assert [duration(s) for s in (59.6, 3_600, 3_725, 200_000)] == [
        "1 min",
        "1 h",
        "1 h 2 min",
        "2 d 7 h",
    ]
    assert (duration(float("nan")), whole_text(float("nan"))) == ("—", "—")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0099999, 2, "0.01"),
        (0.00996, 3, "9.96e-3"),
        (150.4, 2, "150"),
        (9.96, 2, "10"),
        (99.96, 3, "100"),
        (1234.0, 3, "1,234"),
        (12_345.0, 6, "12345"),
        (5e-7, 1, "5e-7"),
        (1e-320, 3, "1e-320"),
    ],
)
def test_a_number_has_at_most_so_many_digits(value, digits, text):
    assert number_text(value, digits) == text


@pytest.mark.parametrize(
    ("step", "text"), [(0, "0"), (250, "250"), (1500, "1.5k"), (10_000, "10k"), (2e6, "2M")]
)
def test_thousands_of_steps_are_k(step, text):
    assert step_text(step) == text


def test_one_is_not_many():
    assert counted(0, "step") == "0 steps"
    assert counted(1, "batch", "batches") == "1 batch"
