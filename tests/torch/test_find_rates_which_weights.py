"""find_rates on PyTorch: the rules hit the weights that the table tells, and no others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from layerwise.errors import MultiplierError
from layerwise.finder import Bands
from layerwise.torch import find_rates, param_groups
from tests._support.torch.finding import loss_function
from tests._support.torch.networks import make_batch, make_network

QUIET: dict[str, Any] = {"budget": 120, "progress": False}


def make_data(number: int = 12) -> list[Any]:
    return [make_batch(step) for step in range(number)]


class Tied(nn.Module):
    """Tokens in and out of one embedding; the output's bias is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(20, 8)
        self.mid = nn.Linear(8, 8)
        self.out = nn.Linear(8, 20)
        self.out.weight = self.emb.weight

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.out(torch.tanh(self.mid(self.emb(tokens))) + self.emb(tokens))
        return found


def test_tied_weights_get_the_rate_that_the_table_tells() -> None:
    torch.manual_seed(0)
    model = Tied()
    tokens = torch.randint(20, (96,))
    batches = list(zip(tokens.split(16), (tokens + 1).remainder(20).split(16), strict=True))
    optimizer = torch.optim.Adam(model.parameters())
    loss = nn.functional.cross_entropy
    found = find_rates(model, optimizer, loss, batches, budget=600, progress=False)
    assert found.learning_rate is not None
    told = {name: band.multiplier for band in found.bands for name in band.parameters}
    for multipliers in (None, [0.1, 0.3, 0.4]):
        rules = found.rules
        if multipliers is not None:
            parts = (("emb.weight",), ("mid.weight", "mid.bias"), ("out.bias",))
            bands = Bands(parts, aliases={"emb.weight": ("out.weight",)}, separator=".")
            rules = bands.rules(multipliers)
            told = {n: m for ns, m in zip(parts, multipliers, strict=True) for n in ns}
        plan = param_groups(model, rules, lr=1.0).plan
        assert {row.parameter.name: row.value for row in plan.rows} == told


@pytest.mark.parametrize("how", ["head only", "frozen by a rule"])
def test_what_the_optimizer_does_not_train_stays_frozen(how: str) -> None:
    torch.manual_seed(0)
    model = make_network()
    groups: Any = model.head.parameters()
    if how == "frozen by a rule":
        groups = param_groups(model, {"backbone": 0}, lr=1e-3)
    found = find_rates(model, torch.optim.Adam(groups), loss_function, make_data(), **QUIET)
    assert [band.name for band in found.bands] == ["head"]
    assert dict(found.rules) == {"backbone.": 0.0}
    plan = param_groups(model, found.rules, lr=1.0).plan
    assert [row.frozen for row in plan.rows] == [
        row.parameter.name.startswith("backbone") for row in plan.rows
    ]


@pytest.mark.parametrize("model", [nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2))])
def test_a_model_of_one_layer_has_one_band(model: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 4)
    batches = list(zip(x.split(10), x[:, :2].split(10), strict=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    found = find_rates(model, optimizer, nn.functional.mse_loss, batches, **QUIET)
    assert found.reason.startswith("There is one band, so one rate")
    assert found.learning_rate is not None


def test_a_parametrized_layer_alone_has_one_band_and_no_layers_are_an_error() -> None:
    torch.manual_seed(0)
    model = nn.utils.parametrizations.weight_norm(nn.Linear(4, 2))
    x = torch.randn(60, 4)
    batches = list(zip(x.split(10), x[:, :2].split(10), strict=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.functional.mse_loss
    found = find_rates(model, optimizer, loss, batches, **QUIET)
    assert found.reason.startswith("There is one band, so one rate")
    with pytest.raises(MultiplierError):
        find_rates(model, optimizer, loss, batches, layers=[], **QUIET)
