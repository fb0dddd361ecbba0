"""Seed 004 (LambdaLR): a schedule for all groups, or one for each; only the import is changed."""

from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim import lr_scheduler as peer

from layerwise.torch import ScheduleLR as LambdaLR
from tests._support.torch.networks import ResNet50


def lambda_lr(epoch: int, alpha: float = 0.99) -> float:
    return alpha**epoch


def fc_lambda_lr(epoch: int, alpha: float = 0.99) -> float:
    return alpha**epoch


def feature_lambda_lr(epoch: int, alpha: float = 0.88) -> float:
    return alpha**epoch


@pytest.fixture(scope="module")
def model() -> Any:
    with torch.device("meta"):  # the shapes of all 25 million weights, without their memory
        return ResNet50()


def printed(scheduler_class: Any, optimizer: Any, schedule: Any) -> str:
    """What the seed's loop prints."""
    lines = []
    our_scheduler = scheduler_class(optimizer, lr_lambda=schedule)
    last_lr = our_scheduler.get_last_lr()
    lines.append(str(last_lr))
    for _ in range(100):
        our_scheduler.step()
        last_lr = our_scheduler.get_last_lr()
        lines.append(str(last_lr))
    return "\n".join(lines)


def two_groups(model: Any) -> Any:
    feature_params = []
    fc_params = []
    for name, param in model.named_parameters():
        if "fc" in name:
            fc_params.append(param)
        else:
            feature_params.append(param)
    return SGD([{"params": feature_params}, {"params": fc_params}], lr=1e-3)


def test_the_model_is_a_resnet50(model: Any) -> None:
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) == 25_557_032  # as torchvision counts them
    assert len(parameters) == 161


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # PyTorch's
def test_one_lambda_for_all(model: Any) -> None:
    ours = printed(LambdaLR, SGD(model.parameters(), lr=1e-3), lambda_lr)
    theirs = printed(peer.LambdaLR, SGD(model.parameters(), lr=1e-3), lambda_lr)
    assert ours == theirs
    assert ours.splitlines()[-1] == str([1e-3 * 0.99**100])


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # PyTorch's
def test_two_groups_with_two_lambdas(model: Any) -> None:
    both = [feature_lambda_lr, fc_lambda_lr]
    ours = printed(LambdaLR, two_groups(model), both)
    theirs = printed(peer.LambdaLR, two_groups(model), both)
    assert ours == theirs
    features, head = two_rates(ours.splitlines()[50])
    assert features == pytest.approx(1e-3 * 0.88**50)
    assert head == pytest.approx(1e-3 * 0.99**50)


def two_rates(line: str) -> tuple[float, float]:
    first, second = line.strip("[]").split(", ")
    return float(first), float(second)
