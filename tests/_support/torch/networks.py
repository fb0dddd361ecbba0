"""Small models and data for the tests of PyTorch, equal for equal seeds."""

import io
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A backbone of two layers with a norm between them, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh()
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits


def make_network(seed: int = 3) -> Network:
    torch.manual_seed(seed)
    return Network()


def make_batch(step: int, samples: int = 16) -> tuple[Tensor, Tensor]:
    """The batch of a step: inputs of six features, and one of three classes."""
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(samples, 6, generator=generator)
    return x, x[:, :3].argmax(dim=1)


def loss_of(model: Any, step: int) -> Tensor:
    x, y = make_batch(step)
    return nn.functional.cross_entropy(model(x), y)


def update(model: Any, optimizer: Any, step: int) -> None:
    """One update on the batch of a step."""
    optimizer.zero_grad()
    loss_of(model, step).backward()
    optimizer.step()


def set_gradients(parameters: Any, step: int) -> None:
    """The gradients of a step, without a model: for optimizers alone."""
    generator = torch.Generator().manual_seed(2000 + step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)


def bits(tensors: Any) -> list[bytes]:
    """The values, exactly: equal for equal bits, NaN and -0.0 included."""
    return [tensor.detach().clone().numpy().tobytes() for tensor in tensors]


def state_bits(optimizer: Any, parameters: Any) -> list[Any]:
    """The optimizer state of these parameters, exactly."""
    return [
        {
            key: bits([value])[0] if isinstance(value, Tensor) else value
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        for parameter in parameters
    ]


class Bottleneck(nn.Module):
    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inside != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """The layers of torchvision's resnet50, with its names and shapes."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inside = width
        for stage, blocks in enumerate((3, 4, 6, 3), start=1):
            own = width * 2 ** (stage - 1)
            layers = []
            for block in range(blocks):
                stride = 2 if block == 0 and stage > 1 else 1
                layers.append(Bottleneck(inside, own, stride))
                inside = 4 * own
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inside, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, stage)(x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


class ViT(nn.Module):
    """The names of timm's vision transformers, three blocks deep; only for its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, 8, 4)})
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(8),
                    "attn": nn.ModuleDict({"qkv": nn.Linear(8, 24), "proj": nn.Linear(8, 8)}),
                    "norm2": nn.LayerNorm(8),
                    "mlp": nn.ModuleDict({"fc1": nn.Linear(8, 16), "fc2": nn.Linear(16, 8)}),
                }
            )
            for _ in range(3)
        )
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 10)


def through_a_file(data: Any) -> Any:
    """Data as a checkpoint brings it back, which must be plain."""
    file = io.BytesIO()
    torch.save(data, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
