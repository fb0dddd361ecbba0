"""The searches on Optax with what goes around an optimizer: it works, or says what to do."""

from typing import Any

import optax
import optax.contrib
import pytest

from layerwise.errors import OptimizerError
from layerwise.optax import find_rates, with_multipliers
from tests.optax.test_find_rates import loss_fn, make_batches, make_params

ADVERSARY = optax.chain(optax.contrib.normalize(), optax.sgd(0.05))
QUIET: dict[str, Any] = {"budget": 300, "progress": False}

AROUND: dict[str, Any] = {
    "optax.contrib.schedule_free": lambda tx: optax.contrib.schedule_free(tx, 0.1),
    "optax.contrib.sam": lambda tx: optax.contrib.sam(tx, ADVERSARY),
    "optax.contrib.mechanize": optax.contrib.mechanize,
    "optax.lookahead": lambda tx: optax.lookahead(tx, 5, 0.5),
    "optax.keep_params_nonnegative": lambda tx: optax.chain(tx, optax.keep_params_nonnegative()),
}


def search_rates(optimizer: Any) -> Any:
    return find_rates(loss_fn, make_params(), make_batches(), optimizer, **QUIET)


@pytest.mark.parametrize("name", AROUND)
def test_what_goes_around_is_left_out_of_a_search_for_rates(name: str) -> None:
    """The error's way out is one: to search inside, and to train with it around what is found."""
    inside = r"Search with(out it| the optimizer that is inside of it), and then train with .*"
    with pytest.raises(OptimizerError, match=f"around {name}.*{inside}with_multipliers"):
        search_rates(lambda rate: AROUND[name](optax.sgd(rate)))
    found = search_rates(optax.sgd)
    around = AROUND[name](with_multipliers(optax.sgd(0.1), found.rules))
    assert around.init(make_params())


def test_a_line_search_has_no_rates_to_search_for() -> None:
    with pytest.raises(OptimizerError, match=r"zoom_linesearch.*Search with one without it"):
        search_rates(optax.lbfgs)
