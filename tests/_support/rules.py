"""Hypothesis strategies for names, rules and parameters."""

from hypothesis import strategies as st

from layerwise.multipliers import Parameter

# Few letters, so that names share beginnings and keys lie inside names.
parts = st.text(alphabet="ab1_", min_size=1, max_size=4)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
keys = st.one_of(st.text(alphabet="ab1_/", min_size=1, max_size=6), names)
numbers = st.floats(min_value=0, max_value=1e6, allow_nan=False, allow_infinity=False)
rules = st.dictionaries(keys, numbers, max_size=8)
parameters = st.lists(names, max_size=12, unique=True).map(
    lambda known: [Parameter(name) for name in known]
)
