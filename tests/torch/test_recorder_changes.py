"""What changes while training goes on: groups that are added, layers that are unfrozen."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from layerwise.recorder import History
from layerwise.torch import Recorder
from tests._support.torch.networks import make_network, update


def half_frozen() -> tuple[Any, Any]:
    model = make_network()
    model.backbone.requires_grad_(False)
    return model, torch.optim.SGD(model.head.parameters(), lr=0.1)


def test_a_group_that_is_added_between_the_step_and_its_row(tmp_path: Path) -> None:
    model, optimizer = half_frozen()
    with Recorder(tmp_path, optimizer) as recorder:
        for step in range(4):
            update(model, optimizer, step)
            if step == 1:
                group = {"params": list(model.backbone.parameters()), "lr": 0.01}
                optimizer.add_param_group(group)
            recorder.log(loss=1.0)
        recorder.log_epoch(0)
    history = History.load(tmp_path)
    assert history.batch["rates/group 0"].tolist() == [0.1] * 4
    np.testing.assert_equal(history.batch["rates/group 1"].tolist(), [np.nan] * 2 + [0.01] * 2)
    assert history.epoch["rates/group 1"].tolist() == [0.01]


def test_a_layer_has_ratios_from_when_it_trains(tmp_path: Path) -> None:
    model, optimizer = half_frozen()
    optimizer.add_param_group({"params": list(model.backbone.parameters())})
    with Recorder(tmp_path, optimizer, model=model, ratios=1) as recorder:
        for step in range(4):
            model.backbone.requires_grad_(step in (1, 2))
            update(model, optimizer, step)
            recorder.log(loss=1.0)
    ratios = History.load(tmp_path).ratios
    assert np.isfinite(ratios["head"]).all()
    assert np.isfinite(ratios["backbone.0"]).tolist() == [False, True, True, False]
