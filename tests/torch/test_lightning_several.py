"""Lightning with several optimizers, and with metrics that decide."""

import json
import warnings
from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from torch import nn

from layerwise import cosine, gradual_unfreezing, plateau, reduce_on_plateau
from layerwise.errors import ScheduleError
from layerwise.recorder import History
from layerwise.schedules import PlateauDecisions, plateaus_in
from layerwise.torch import ScheduleLR, hidden_matrices, param_groups
from layerwise.torch.lightning import Recorder, ReportMetrics
from tests._scripts.lightning_reporting import LOSSES as LOSSES_OF_RANKS
from tests._scripts.lightning_reporting import WORLD
from tests._support.own_process import run_ranks

LOSSES = [1, 0.9, 0.95, 0.91, 0.8, 0.9, 0.9, 0.9]
RULES = gradual_unfreezing(when=plateau("val_loss", patience=2, restore_best=True))


class Module(lightning.LightningModule):
    def __init__(self, rules=RULES):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 1))
        self.rules, self.automatic_optimization = rules, False

    def configure_optimizers(self):
        hidden = hidden_matrices(self.net)
        muon = torch.optim.Muon(param_groups(self.net, self.rules, lr=0.02, only=hidden))
        rest = param_groups(self.net, self.rules, lr=0.01, only=lambda name, _: name not in hidden)
        both = [muon, torch.optim.AdamW(rest)]
        return both, [ScheduleLR(both, cosine(100))]

    def training_step(self, batch, _):
        loss = self.net(batch[0]).square().mean()
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        self.lr_schedulers().step()
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", torch.tensor(LOSSES[self.current_epoch]))


def fit(module, epochs, *callbacks, path=None):
    x = torch.linspace(-1, 1, 64).reshape(16, 4)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data, data, ckpt_path=path)
    return trainer


def test_the_record_has_all_rates_and_what_was_decided(tmp_path: Path):
    fit(Module(), 8, ReportMetrics(), Recorder(tmp_path))
    history = History.load(tmp_path)
    assert [step for step, _ in history.events] == [16, 28]
    thawed = history.batch["rates/AdamW/1"] > 0
    assert thawed.tolist() == [step >= 16 for step in range(32)]
    assert any(name.startswith("rates/Muon") for name in history.batch)


def test_it_is_resumed_exactly(tmp_path: Path):
    whole = Module()
    fit(whole, 8, ReportMetrics())
    fit(Module(), 3, ReportMetrics()).save_checkpoint(tmp_path / "a.ckpt")
    again = Module()
    fit(again, 8, ReportMetrics(), path=tmp_path / "a.ckpt")
    assert all(map(torch.equal, whole.parameters(), again.parameters()))


def test_the_metrics_of_the_first_process_decide_for_all(tmp_path: Path):
    run_ranks("tests._scripts.lightning_reporting", tmp_path, WORLD)
    rates = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(WORLD)]
    falling = [reduce_on_plateau("val_loss", 0.5, 1) for _ in LOSSES_OF_RANKS]
    by_hand = []
    for schedule, losses in zip(falling, LOSSES_OF_RANKS, strict=True):
        decisions = PlateauDecisions(plateaus_in([schedule]))
        by_hand.append([])
        for loss in losses:
            by_hand[-1].append(decisions.applied_to(schedule)(0))
            decisions.report({"val_loss": loss})
    assert rates == [by_hand[0], by_hand[0]]
    assert by_hand[0] != by_hand[1]


def test_it_says_when_there_is_nothing_to_decide():
    with pytest.raises(ScheduleError, match="nothing to do"):
        fit(Module(None), 1, ReportMetrics())
    with pytest.raises(ScheduleError, match="at must be"):
        ReportMetrics("batch")
