"""Whatever a config holds, the answer is a schedule that works, or an error of ours, and it comes.

`layerwise.errors` are the only errors; a warning is an error here, too.
"""

import json
from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerwise.schedules import Schedule
from tests._support.bounds import in_bounds
from tests._support.strategies import any_number, any_schedule_data

LONGEST = timedelta(minutes=1)  # a config that hangs takes for ever
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@settings(max_examples=400, deadline=LONGEST, suppress_health_check=SLOW)
@given(any_schedule_data(), st.lists(any_number, max_size=3))
def test_a_config_of_a_stranger(data, steps):
    config = {"version": 1, "schedule": data}
    made = in_bounds(lambda: Schedule.from_config(config, functions={"f": abs}))
    if made is None:
        return
    length = made.length
    assert length is None or 0 <= length <= 2**53
    assert Schedule.from_config(json.loads(json.dumps(made.to_config()))) == made
    assert isinstance(repr(made), str)
    hash(made)
    for step in (0, 3, *steps):
        in_bounds(lambda step=step: made(step))
    in_bounds(lambda: made(np.arange(4)))
    in_bounds(lambda: made(np.asarray([1e308, 0.5])))


@settings(max_examples=200, deadline=LONGEST, suppress_health_check=SLOW)
@given(any_schedule_data())
def test_a_whole_config_of_a_stranger(data):
    in_bounds(lambda: Schedule.from_config(data))
