"""Strategies: how deep each layer lies, on the kinds of models that people fine-tune."""

from typing import Any

import pytest
import torch
from torch import nn

from layerwise import discriminative, gradual_unfreezing, layer_decay
from layerwise.errors import MultiplierError
from layerwise.torch import explain, layers_of, param_groups
from tests._support.torch.networks import ResNet50, ViT, make_network


def owners(model: Any) -> list[str]:
    """The layers that each level is made of."""
    return [
        " ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in level))
        for level in layers_of(model)
    ]


def multipliers(model: Any, rules: Any, **options: Any) -> dict[str, float]:
    plan = explain(model, rules, **options)
    found = plan.multipliers(0).tolist()
    return {row.parameter.name: value for row, value in zip(plan.rows, found, strict=True)}


class Plain(nn.Module):
    """A module without containers, and a layer without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.conv = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.5)
        self.attention = nn.MultiheadAttention(4, 2)
        self.out = nn.Linear(4, 2)


def test_a_plain_module() -> None:
    assert owners(Plain()) == ["embed", "conv", "attention attention.out_proj", "out"]
    found = multipliers(Plain(), layer_decay(0.5))
    assert found["embed.weight"] == 0.125
    assert found["attention.in_proj_weight"] == found["attention.out_proj.bias"] == 0.5
    assert found["out.bias"] == 1.0


def test_a_sequential() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    assert owners(model) == ["0", "2", "4"]
    found = multipliers(model, discriminative(0.25))
    assert found == {
        "0.weight": 0.25,
        "0.bias": 0.25,
        "2.weight": 0.5,
        "2.bias": 0.5,
        "4.weight": 1.0,
        "4.bias": 1.0,
    }


def test_a_resnet() -> None:
    with torch.device("meta"):
        model = ResNet50()
    levels = owners(model)
    assert levels[0] == "conv1 bn1"
    assert levels[-1] == "fc"
    assert len(levels) == 1 + 16 + 1
    assert all(level.startswith("layer2.1.") for level in levels[5].split())
    found = multipliers(model, layer_decay(0.5))
    assert found["fc.weight"] == 1.0
    assert found["layer4.2.conv3.weight"] == found["layer4.2.bn1.bias"] == 0.5
    assert found["conv1.weight"] == found["bn1.weight"] == 0.5**17
    groups = param_groups(model, layer_decay(0.5), lr=1.0)
    assert [group["name"] for group in groups[:3]] == ["conv1 + bn1", "layer1.0", "layer1.1"]


def test_a_vit() -> None:
    model = ViT()
    levels = layers_of(model)
    assert levels[0] == (
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "patch_embed.proj.bias",
    )
    assert len(levels) == 1 + 3 + 1
    found = multipliers(model, layer_decay(0.5))
    assert found["blocks.2.attn.qkv.weight"] == found["blocks.2.norm1.bias"] == 0.5
    assert found["norm.weight"] == 0.5  # as in timm
    assert found["cls_token"] == found["patch_embed.proj.bias"] == 0.5**4
    names = [group["name"] for group in param_groups(model, layer_decay(0.5), lr=1.0)]
    assert names == [
        "cls_token + pos_embed + patch_embed.proj",
        "blocks.0",
        "blocks.1",
        "blocks.2 + norm",
        "head",
    ]


def test_rules_win_over_strategies() -> None:
    found = multipliers(make_network(), [layer_decay(0.5), {"backbone.0": 3}])
    assert found["backbone.0.weight"] == 3
    assert found["backbone.1.weight"] == 0.25


def test_layers_can_be_named() -> None:
    model = make_network()
    found = multipliers(model, layer_decay(0.5), layers=["backbone", "head"])
    assert found["backbone.0.weight"] == found["backbone.3.weight"] == 0.5
    own = layer_decay(0.5, layers=[["head"], ["backbone"]])
    assert multipliers(model, own)["head.weight"] == 0.5


def test_a_frozen_backbone_still_has_its_depth() -> None:
    model = make_network()
    model.backbone.requires_grad_(False)
    groups = param_groups(model, layer_decay(0.5), lr=1.0)
    assert [(group["name"], group["lr"]) for group in groups] == [("head", 1.0)]
    assert groups.plan.rows[0].value == 0.25


class HeadFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(4, 2)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ParameterList(nn.Parameter(torch.ones(2)) for _ in range(3))


@pytest.mark.parametrize("strategy", [layer_decay(0.5), discriminative(0.1), gradual_unfreezing(5)])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HeadFirst(), r"'classifier\.weight'.*head.*layers=\["),
        (Bare(), r"'parts\.0', 'parts\.1', 'parts\.2'.*how deep.*layers=\["),
        (nn.LSTM(3, 4, num_layers=3), r"'weight_ih_l0'.*how deep.*layers=\["),
        (nn.Linear(2, 2), r"'weight', 'bias' .*how deep.*layers=\["),
    ],
)
def test_where_depth_can_not_be_told(model: Any, message: str, strategy: Any) -> None:
    with pytest.raises(MultiplierError, match=message):
        param_groups(model, strategy, lr=1.0)
    assert len(param_groups(model, {"": 1.0} if False else None, lr=1.0)) == 1


def test_the_way_out_where_depth_can_not_be_told() -> None:
    found = multipliers(HeadFirst(), layer_decay(0.5), layers=["body.0", "body.1", "classifier"])
    assert (found["body.0.bias"], found["classifier.bias"]) == (0.25, 1.0)
    levels = [["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"], ["weight", "bias"]]
    found = multipliers(nn.LSTM(3, 4, num_layers=2), layer_decay(0.5), layers=levels)
    assert (found["weight_hh_l0"], found["weight_hh_l1"]) == (0.5, 1.0)
