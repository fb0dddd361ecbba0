"""A record says with which optimizer it was trained, and with which versions."""

import pytest
import torch
from torch.optim import SGD, AdamW

from layerwise.recorder import History
from layerwise.torch import Recorder
from tests._support.torch.sam import SAM


def weights():
    return [torch.nn.Parameter(torch.zeros(2))]


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (lambda: SGD(weights(), 0.1), "SGD()"),
        (lambda: SGD(weights(), 0.1, momentum=0.9), "SGD(momentum=0.9)"),
        (lambda: AdamW(weights()), "AdamW(betas=(0.9, 0.999), weight_decay=0.01)"),
        (
            lambda: AdamW(weights(), lr=torch.tensor(0.1), betas=(0.8, 0.9)),
            "AdamW(betas=(0.8, 0.9)",
        ),
        (lambda: SAM(weights(), SGD, lr=0.1), "SGD("),
        (lambda: [SGD(weights(), 0.1), AdamW(weights())], "SGD and AdamW()"),
    ],
)
def test_the_optimizer_and_the_versions_are_saved(tmp_path, optimizer, text):
    Recorder(tmp_path, optimizer()).close()
    setup = History.load(tmp_path).setup
    assert setup["optimizer"].startswith(text)
    assert setup["versions"]["torch"] == torch.__version__
