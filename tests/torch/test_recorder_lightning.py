"""The recorder as a callback of Lightning."""

from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from layerwise import cosine, linear, warmup
from layerwise.recorder import History
from layerwise.torch import ScheduleLR, param_groups
from layerwise.torch.lightning import Recorder
from tests._support.torch.networks import bits, make_batch, make_network

SCHEDULE = warmup(3) >> cosine(20)

# What Lightning says about this machine and this tiny run, and its use of PyTorch's own renamed
# parts.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps.*"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning.*"),
]


class Classifier(lightning.LightningModule):
    """Keeps each batch's own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.network = make_network()
        self.losses: list[float] = []

    def training_step(self, batch: Any, number: int) -> Any:
        x, y = batch
        loss = torch.nn.functional.cross_entropy(self.network(x), y)
        self.losses.append(loss.item())
        if number == 9:
            raise KeyError("broken off")
        return {"loss": loss, "twice": 2 * loss.detach(), "note": "text"}

    def validation_step(self, batch: Any, number: int) -> None:
        self.log("val_loss", float(number))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(param_groups(self, {"network.backbone": 0.1}, lr=0.05))
        scheduler = ScheduleLR(optimizer, SCHEDULE)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def fit(
    run: Path | None,
    *,
    module: Any = Classifier,
    batches: int = 4,
    epochs: int = 2,
    **options: Any,
) -> Any:
    x, y = make_batch(0, samples=4 * batches)
    model = module()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        callbacks=[] if run is None else [Recorder(run, ratios=2)],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    data = DataLoader(TensorDataset(x, y), batch_size=4)
    trainer.fit(model, data, data)
    return model


def test_rows_of_batches_and_epochs(tmp_path: Path) -> None:
    model = fit(tmp_path)
    history = History.load(tmp_path)
    batch = history.batch
    assert batch["step"].tolist() == list(range(8))
    assert batch["epoch"].tolist() == [0] * 4 + [1] * 4
    assert batch["loss"].tolist() == pytest.approx(model.losses, rel=1e-7)
    assert batch["twice"].tolist() == pytest.approx([2 * loss for loss in model.losses])
    rates = [0.05 * SCHEDULE(step) for step in range(8)]
    assert batch["rates/default"].tolist() == pytest.approx(rates)
    assert batch["rates/network.backbone"].tolist() == pytest.approx([0.1 * r for r in rates])
    assert batch["ratios/network.head"][2] > 0
    assert history.epoch["val_loss"].tolist() == [1.5, 1.5]
    assert history.epoch["step"].tolist() == [4, 8]
    assert history.plan is not None
    assert bits(model.parameters()) == bits(fit(None).parameters())


class Named(Classifier):
    """Logs metrics that have names of the record's own columns."""

    def training_step(self, batch: Any, number: int) -> Any:
        self.log("step", 7.0)
        return super().training_step(batch, number) | {"rate": 5.0}


def test_a_metric_may_have_the_name_of_a_column(tmp_path: Path) -> None:
    fit(tmp_path, module=Named)
    history = History.load(tmp_path)
    assert history.epoch["step"].tolist() == [4, 8]
    assert history.epoch["metric/step"].tolist() == [7.0, 7.0]
    assert history.batch["metric/rate"].tolist() == [5.0] * 8


def test_accumulated_batches_have_their_own_losses(tmp_path: Path) -> None:
    model = fit(tmp_path, epochs=1, accumulate_grad_batches=2)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == [0, 0, 1, 1]
    assert batch["loss"].tolist() == pytest.approx(model.losses, rel=1e-6)
    assert batch["rates/default"].tolist() == pytest.approx(
        [0.05 * SCHEDULE(s) for s in (0, 0, 1, 1)]
    )


def test_a_training_that_breaks_off_is_recorded_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="broken off"):
        fit(tmp_path, batches=12)
    assert History.load(tmp_path).batch["step"].tolist() == list(range(9))


class Adversaries(lightning.LightningModule):
    """Two optimizers, of which the first makes an update every so many batches."""

    def __init__(self, every: int, scheduled: bool) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.judge = torch.nn.Linear(6, 6), torch.nn.Linear(6, 1)
        self.every, self.scheduled = every, scheduled

    def training_step(self, batch: Any, number: int) -> Any:
        first, second = self.optimizers()  # type: ignore[misc]
        for _ in range(2):
            second.zero_grad()
            self.manual_backward(self.judge(self.generator(batch[0])).mean())
            second.step()
        loss = self.judge(self.generator(batch[0])).square().mean()
        if number % self.every == 0:
            first.zero_grad()
            self.manual_backward(loss)
            first.step()
        return {"loss": loss}

    def configure_optimizers(self) -> Any:
        first = torch.optim.SGD(param_groups(self.generator, lr=0.1))
        second = torch.optim.Adam(self.judge.parameters())
        # By epochs, as Lightning does by default: it does not count updates.
        return [first, second], [ScheduleLR(first, SCHEDULE)] if self.scheduled else []


def play(module: Any, run: Path, epochs: int, checkpoint: Path | None = None) -> Any:
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        callbacks=[Recorder(run, ratios=1)],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(TensorDataset(*make_batch(0, samples=24)), batch_size=4)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return trainer


@pytest.mark.parametrize("scheduled", [False, True], ids=["", "scheduled"])
@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1, 2, 3, 4, 5]), (3, [0, 1, 1, 1, 2, 2])])
def test_of_two_optimizers_the_first_counts(
    every: int, steps: list[int], scheduled: bool, tmp_path: Path
) -> None:
    """Lightning's own step counts the updates of both."""
    trainer = play(Adversaries(every, scheduled), tmp_path, 1)
    assert trainer.global_step == 12 + 6 // every
    history = History.load(tmp_path)
    assert history.batch["step"].tolist() == steps
    assert history.epoch["step"].tolist() == [6 // every]
    assert (
        history.batch["rates/SGD/default"].tolist() == [0.1 * (SCHEDULE(0) if scheduled else 1)] * 6
    )


def test_counting_goes_on_after_a_checkpoint(tmp_path: Path) -> None:
    trainer = play(Adversaries(3, False), tmp_path / "run", 1)
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    play(Adversaries(3, False), tmp_path / "run", 2, tmp_path / "first.ckpt")
    history = History.load(tmp_path / "run")
    assert history.batch["step"].tolist() == [0, 1, 1, 1, 2, 3, 3, 3, 4, 4]
    assert history.epoch["step"].tolist() == [2, 4]


def test_a_schedule_by_epochs_does_not_count_batches(tmp_path: Path) -> None:
    class ByEpochs(Classifier):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(param_groups(self, lr=0.05))
            return [optimizer], [ScheduleLR(optimizer, linear(4))]

    fit(tmp_path, module=ByEpochs)
    batch = History.load(tmp_path).batch
    assert batch["step"].tolist() == list(range(8))
    assert batch["rates/default"].tolist() == pytest.approx([0.05] * 4 + [0.0375] * 4)
    assert np.isfinite(batch["ratios/network.head"]).tolist() == [True, False] * 4
