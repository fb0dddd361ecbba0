"""Lightning: groups and scheduler from configure_optimizers, logged, and resumed mid-epoch."""

import csv
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from layerwise import cosine, piecewise_constant, warmup
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import bits, make_batch, make_network

RULES = {"network.backbone": 0.1, "network.backbone.1": piecewise_constant([5], [0.0, 1.0])}
SCHEDULE = warmup(3) >> cosine(20)
STEPS, PER_EPOCH = 12, 8

# What Lightning says about this machine and this tiny run, and its use of PyTorch's own renamed
# parts.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps.*"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning.*"),
]


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = make_network()

    def training_step(self, batch: Any, number: int) -> Any:
        x, y = batch
        return torch.nn.functional.cross_entropy(self.network(x), y)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(param_groups(self, RULES, lr=0.05))
        scheduler = ScheduleLR(optimizer, SCHEDULE)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class Resumable(DataLoader):  # type: ignore[type-arg]
    """A loader that goes on at the batch at which a checkpoint was written."""

    begun = 0
    skipped = 0

    def __iter__(self) -> Any:
        skip, self.skipped = self.skipped, 0
        self.begun = skip
        for number, batch in enumerate(super().__iter__()):
            if number >= skip:
                self.begun = number + 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        return {"begun": self.begun}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.skipped = state["begun"] % PER_EPOCH


def fit(folder: Path, steps: int, checkpoint: Path | None = None, **options: Any) -> Any:
    x, y = make_batch(0, samples=4 * PER_EPOCH)
    model = Classifier()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        logger=CSVLogger(str(folder), name="logs", version=str(steps)),
        log_every_n_steps=1,
        callbacks=[
            LearningRateMonitor(logging_interval="step"),
            ModelCheckpoint(folder / "checkpoints", every_n_train_steps=5, save_top_k=-1),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    loader = Resumable(TensorDataset(x, y), batch_size=4)
    trainer.fit(model, loader, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return model, trainer


def logged(folder: Path, version: int) -> dict[str, list[float]]:
    """The rates in the log, by group."""
    with (folder / "logs" / str(version) / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = [key for key in rows[0] if key.startswith("lr-AdamW")]
    return {key: [float(row[key]) for row in rows if row[key]] for key in columns}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("lightning")
    model, _ = fit(folder, STEPS)
    return folder, model


def test_the_logged_rates_are_ours(run: tuple[Path, Any]) -> None:
    steps = range(STEPS)
    rates = [0.05 * SCHEDULE(step) for step in steps]
    assert logged(run[0], STEPS) == {
        "lr-AdamW/network.backbone": pytest.approx([0.1 * rate for rate in rates]),
        "lr-AdamW/network.backbone.1": pytest.approx(
            [rate * (step >= 5) for step, rate in zip(steps, rates, strict=True)]
        ),
        "lr-AdamW/default": pytest.approx(rates),
    }


def test_a_checkpoint_is_resumed_mid_epoch(run: tuple[Path, Any], tmp_path: Path) -> None:
    folder, whole = run
    (checkpoint,) = (folder / "checkpoints").glob("*step=5.ckpt")
    resumed, trainer = fit(tmp_path, STEPS, checkpoint)
    assert trainer.global_step == STEPS
    assert bits(resumed.parameters()) == bits(whole.parameters())
    assert bits(resumed.parameters()) != bits(Classifier().parameters())
    assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == STEPS
    tail = {key: rates[5:] for key, rates in logged(folder, STEPS).items()}
    assert logged(tmp_path, STEPS) == tail


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    _, trainer = fit(tmp_path, 2, accumulate_grad_batches=4)
    assert trainer.lr_scheduler_configs[0].scheduler.last_epoch == 2
