"""The searches on Optax with what goes around an optimizer: it works, or says what to do."""

from typing import Any

import jax
import numpy as np
import optax
import optax.contrib
import pytest

from layerwise import linear
from layerwise.errors import FinderError, OptimizerError
from layerwise.optax import find_lr, find_rates, with_multipliers
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
    with pytest.raises(OptimizerError, match=r"zoom_linesearch.*Search with another optimizer"):
        search_rates(optax.lbfgs)


def compiled(rate: float | jax.Array) -> optax.GradientTransformationExtraArgs:
    """An optimizer whose update takes arrays only."""
    plain = optax.chain(optax.clip(1.0), optax.sgd(rate))
    return optax.GradientTransformationExtraArgs(plain.init, jax.jit(plain.update))


MULTIPLIED = {"dense_0": 0.5}
ASKING: dict[str, Any] = {
    "SAM": lambda rate: optax.contrib.sam(optax.sgd(rate), ADVERSARY),
    "SAM in a chain": lambda rate: optax.chain(
        optax.clip(1.0), optax.contrib.sam(optax.sgd(rate), ADVERSARY)
    ),
    "SAM around multipliers": lambda rate: optax.contrib.sam(
        with_multipliers(optax.sgd(rate), MULTIPLIED), ADVERSARY
    ),
    "SAM in one update": lambda rate: optax.contrib.sam(
        optax.sgd(rate), ADVERSARY, opaque_mode=True
    ),
    "a line search": optax.lbfgs,
    "compiled by itself": compiled,
    "Polyak's rate": optax.polyak_sgd,
}


@pytest.mark.parametrize("jit", [True, False], ids=["compiled", "as it is"])
@pytest.mark.parametrize("name", ASKING)
def test_an_optimizer_is_told_what_it_asks_for(name: str, jit: bool) -> None:
    options: dict[str, Any] = {"jit": jit, "steps": 12, "method": "sweep", "progress": False}
    found = find_lr(loss_fn, make_params(), make_batches(), ASKING[name], **options)
    assert np.isfinite(found.losses[:4]).all()


@pytest.mark.parametrize("name", ["SAM in one update", "Polyak's rate"])
def test_rates_are_searched_with_what_asks_for_more(name: str) -> None:
    assert search_rates(ASKING[name]).probes


def test_sophia_is_told_the_loss_function() -> None:
    options: dict[str, Any] = {"steps": 12, "method": "sweep", "progress": False}
    found = find_lr(loss_fn, make_params(), make_batches(), optax.contrib.sophia, **options)
    assert np.isfinite(found.losses[:4]).all()


def hungry(rate: float | jax.Array) -> optax.GradientTransformationExtraArgs:
    """An optimizer that asks for what no search knows."""
    plain = optax.sgd(rate)

    def update(updates: Any, state: Any, params: Any = None, *, tokens: Any, **_: Any) -> Any:
        return plain.update(updates, state, params)

    return optax.GradientTransformationExtraArgs(plain.init, update)


def test_what_no_search_knows_is_said() -> None:
    given = (loss_fn, make_params(), make_batches())
    with pytest.raises(FinderError, match=r"wants more.*'tokens'.*update="):
        find_lr(*given, hungry)
    with pytest.raises(FinderError, match=r"two copies.*inside of it, or give .*update="):
        find_lr(*given, lambda rate: optax.lookahead(optax.sgd(rate), 5, 0.5))


def test_a_schedule_by_tokens_is_left_out_of_a_search() -> None:
    given = (loss_fn, make_params(), make_batches())
    by_tokens = lambda rate: with_multipliers(  # noqa: E731
        optax.sgd(rate), schedule=linear(1_000).by("tokens")
    )
    for search in (find_lr, find_rates):
        with pytest.raises(FinderError, match=r"count tokens.*leave the schedule out.*update="):
            search(*given, by_tokens, progress=False)
