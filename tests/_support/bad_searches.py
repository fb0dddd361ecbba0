"""Options of a search that are out of range, each with the message that it must give."""

import math

import pytest

BAD_SEARCHES = [
    pytest.param({name: value}, message, id=f"{name}={value!r}")
    for name, value, message in [
        ("low", 0.0, r"^low must be a finite number above 0, got 0\.0\.$"),
        ("low", -1e-3, r"^low must be a finite number above 0, got -0\.001\.$"),
        ("low", True, r"^low must be a finite number above 0, got True\.$"),
        ("low", 20.0, r"^low=20\.0 must be below high=10\.0: "),
        ("high", math.inf, r"^high must be a finite number above 0, got inf\.$"),
        ("high", math.nan, r"^high must be a finite number above 0, got nan\.$"),
        ("steps", 9, r"^steps must be a whole number of at least 10, got 9\.$"),
        ("steps", 20.5, r"^steps must be a whole number of at least 10, got 20\.5\.$"),
        ("spacing", "log", r"^spacing must be one of 'geometric', 'linear', got 'log'\.$"),
        ("method", "guess", r"^method must be one of 'probe', 'sweep', got 'guess'\.$"),
        ("horizon", 0, r"^horizon must be a whole number of at least 1, got 0\.$"),
        ("schedule", "rising", r"^schedule must be one of 'falling', 'constant', or .* 'rising'"),
        ("schedule", 1.0, r"^schedule must be one of .*, got 1\.0\.$"),
        ("stop", "late", r"^stop must be one of 'diverged', 'doubled', 'never', or .* got 'late'"),
        ("stop", 3, r"^stop must be one of .* got 3\.$"),
        ("smoothing", -1, r"^smoothing must be a finite number of at least 0, got -1\.$"),
        ("memory", "disk", r"^memory must be one of 'device', 'host', got 'disk'\.$"),
        ("accumulate", 0, r"^accumulate must be a whole number of at least 1, got 0\.$"),
        ("accumulate", 1.5, r"^accumulate must be a whole number of at least 1, got 1\.5\.$"),
    ]
]
