"""What an adapter hands to the search for rates, so that a test can drive its trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from layerwise.finder import Bands, RatesOptions


@dataclass(frozen=True)
class HandedOver:
    """The arguments of ``search_rates``."""

    trainer: Any
    data: Any
    bands: Bands
    options: RatesOptions
    held_out: Any
    join: Any


def use_instead(
    monkeypatch: pytest.MonkeyPatch, adapter: str, use: Callable[[HandedOver], object]
) -> None:
    """Let an adapter's ``find_rates`` call a function in place of the search.

    Args:
        monkeypatch: The fixture.
        adapter: ``"keras"``, ``"optax"`` or ``"torch"``.
        use: What is called inside of it; the start is put back afterwards, as the search does it.
    """

    def search_rates(
        trainer: Any,
        data: Any,
        bands: Bands,
        options: RatesOptions,
        *,
        held_out: Any,
        join: Any,
        targets_at: int | None = None,
        course: Any = None,
    ) -> object:
        start = trainer.snapshot()
        try:
            trainer.restore(start)
            return use(HandedOver(trainer, data, bands, options, held_out, join))
        finally:
            trainer.restore(start)

    monkeypatch.setattr(f"layerwise.{adapter}._finder.find_rates.search_rates", search_rates)
