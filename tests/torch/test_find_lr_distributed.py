"""Two processes search together: one curve, one suggestion, and nothing left changed."""

from typing import Any

import pytest
import torch

from tests._scripts.torch_finding_together import WORLD, search
from tests._support.own_process import run_ranks
from tests._support.torch.networks import make_network


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("together")
    run_ranks("tests._scripts.torch_finding_together", folder, WORLD)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("what", ["plain", "accumulated"])
def test_both_ranks_see_what_one_process_sees(ranks: list[Any], what: str) -> None:
    options: dict[str, Any] = {"accumulate": 2, "method": "sweep"} if what == "accumulated" else {}
    alone = search(make_network().double(), slice(None), 8, **options)
    first, second = (rank[what] for rank in ranks)
    assert first == second
    assert first["left"]
    assert first["weights"] == alone["weights"]
    # Half a batch each, and then the mean: the same sum, in another order.
    assert first["finding"]["losses"] == pytest.approx(alone["finding"]["losses"], rel=1e-9)
    assert first["finding"]["suggestion"] == pytest.approx(alone["finding"]["suggestion"], rel=1e-6)
    assert first["finding"]["group_factors"] == pytest.approx({"backbone": 0.1, "default": 1})


def test_both_ranks_find_the_same_rates(ranks: list[Any]) -> None:
    first, second = (rank["rates"] for rank in ranks)
    assert first == second
    assert first["left"]
    assert first["finding"]["learning_rate"] > 0
    assert len(first["finding"]["probes"]) > 2


def test_gradients_in_buckets_come_back(ranks: list[Any]) -> None:
    assert [rank["in buckets"]["left"] for rank in ranks] == [True, True]
    swept = ranks[0]["in buckets"]["finding"]["losses"]
    assert swept == pytest.approx(ranks[0]["plain"]["finding"]["losses"], rel=1e-9)


def test_the_data_ends_on_all_ranks_together(ranks: list[Any]) -> None:
    assert ranks[0]["uneven"] == ranks[1]["uneven"]
    assert ranks[0]["uneven"]["stopped"] == "data ended"
    assert len(ranks[0]["uneven"]["losses"]) == 6


def test_a_sharded_model_is_put_back(ranks: list[Any]) -> None:
    assert ranks[0]["sharded"] == ranks[1]["sharded"]
    assert ranks[0]["sharded"]["left"]
    alone = ranks[0]["plain"]["finding"]["losses"]
    losses = ranks[0]["sharded"]["finding"]["losses"]
    assert losses[:8] == pytest.approx(alone[:8], rel=1e-6)
