"""The names of networks that people fine-tune, without their weights."""

from typing import Any

import torch
from torch import nn

# The blocks in each stage, and whether its blocks have an expansion.
_LITE0 = ((1, False), (2, True), (2, True), (3, True), (3, True), (4, True), (1, True))


def efficientnet_lite0() -> nn.Module:
    """The layers of timm's ``efficientnet_lite0``, with its names and its order; all of size 2."""
    net = nn.Module()
    net.conv_stem, net.bn1 = _conv(), nn.BatchNorm2d(2)
    net.blocks = nn.Sequential(
        *(nn.Sequential(*(_block(wide) for _ in range(count))) for count, wide in _LITE0)
    )
    net.conv_head, net.bn2 = _conv(), nn.BatchNorm2d(2)
    net.classifier = nn.Linear(2, 5)
    return net


def mobilenet_v3() -> nn.Module:
    """A network without containers: the layers of a block have its name in theirs."""
    net = nn.Sequential()
    net.add_module("conv", _conv())
    net.add_module("conv_bn", nn.BatchNorm2d(2))
    for block in range(5):
        name = f"expanded_conv_{block}" if block else "expanded_conv"
        for layer in ("expand", "depthwise", "project")[not block :]:
            net.add_module(f"{name}_{layer}", _conv())
            net.add_module(f"{name}_{layer}_bn", nn.BatchNorm2d(2))
    net.add_module("conv_1", _conv())
    net.add_module("conv_1_bn", nn.BatchNorm2d(2))
    net.add_module("head", nn.Linear(2, 5))
    return net


def small(config: Any, **sizes: Any) -> Any:
    """A config of Transformers for three layers of width 8."""
    given = {
        "hidden_size": 8,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    return config(**{**given, **sizes})


def without_weights(make: Any) -> nn.Module:
    """What a function makes, on a device that has no memory."""
    with torch.device("meta"):
        model: nn.Module = make()
    return model


def _conv() -> nn.Conv2d:
    return nn.Conv2d(2, 2, 1, bias=False)


def _block(wide: bool) -> nn.Module:
    names = ("conv_pw", "conv_dw", "conv_pwl") if wide else ("conv_dw", "conv_pw")
    block = nn.Module()
    for number, name in enumerate(names, start=1):
        block.add_module(name, _conv())
        block.add_module(f"bn{number}", nn.BatchNorm2d(2))
    return block
