"""Two processes on one machine give the weights of one, with a rate for each layer."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests._scripts.torch_distributed import WAYS, WORLD, make_model, train
from tests._support.own_process import run_ranks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    run_ranks("tests._scripts.torch_distributed", folder, WORLD)
    return folder


@pytest.fixture(scope="module")
def alone() -> tuple[Any, Any]:
    model = make_model()
    settings = train(model, slice(None))
    return dict(model.named_parameters()), settings


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_equal_one(folder: Path, alone: tuple[Any, Any], way: str) -> None:
    weights, settings = alone
    start = dict(make_model().named_parameters())
    for rank in range(WORLD):
        found = torch.load(folder / f"{way}-{rank}.pt", weights_only=True)
        assert found["settings"] == settings
        assert set(found["weights"]) == set(weights)
        for name, weight in weights.items():
            # Half a batch each, and then the mean: the same sum, in another order.
            torch.testing.assert_close(found["weights"][name], weight, rtol=1e-11, atol=1e-13)
            assert not torch.allclose(weight, start[name], rtol=1e-4)


def test_there_are_three_rates_and_one_that_moves(alone: tuple[Any, Any]) -> None:
    assert alone[1] == [
        {"name": "backbone", "lr": 0.05 * 0.1},
        {"name": "backbone.1", "lr": 0.0},
        {"name": "backbone.3", "lr": 0.05 * 0.5},
        {"name": "head", "lr": 0.1},
    ]


def test_a_flattened_model_says_the_way_out(folder: Path) -> None:
    said = torch.load(folder / "FullyShardedDataParallel-0.pt", weights_only=True)
    assert re.search(r"_flat_param' is many.*fully_shard.*use_orig_params=True", said[False])
    assert said[True] == "backbone at 0.1 and default at 1.0"


def test_one_rank_alone_records_how_far_its_shards_move(folder: Path) -> None:
    recorded, expected = torch.load(folder / "ratios-0.pt", weights_only=True)
    assert recorded == pytest.approx(expected, rel=1e-6)  # a ratio is in float32
    assert len(set(expected)) == 3
    assert min(expected) > 0
