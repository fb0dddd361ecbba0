"""What recording every batch costs in PyTorch: a plain loop, Lightning and the Trainer.

In each, the same training runs with and without its recorder. They take turns, in an order that is
shuffled every round, so that a slow moment of the machine falls on all alike. The ratio is taken
within each round and its median and quartiles over the rounds are shown. Lightning and Transformers
are left out where they are not installed. Run it on an idle machine:

    python benchmarks/recording_torch.py
"""

import argparse
import importlib.util
import logging
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _interleaved
import torch
from torch import nn

from layerwise.torch import Recorder, param_groups

LAYERS, WIDTH, BATCH = 20, 256, 64


class Network(nn.Module):
    """The network, with its loss as Transformers' models have it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            *(m for _ in range(LAYERS) for m in (nn.Linear(WIDTH, WIDTH), nn.ReLU()))
        )

    def forward(self, x: Any, labels: Any = None) -> dict[str, Any]:
        """The loss and the outputs."""
        outputs = self.body(x)
        return {"loss": nn.functional.mse_loss(outputs, x if labels is None else labels)}


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    """Adam with two rates."""
    return torch.optim.Adam(param_groups(model, {"body.0": 0.5}, lr=1e-3), lr=1e-3)


def plain_loop(steps: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """A loop by hand. Its network is trained on, so that nothing is made anew."""

    def loop(record: str | None) -> Callable[[], Any]:
        model = Network()
        optimizer, x = optimizer_of(model), torch.randn(BATCH, WIDTH)
        options: dict[str, Any] = {"model": model, "ratios": 100} if record == "ratios" else {}
        recorder = Recorder(folder / record, optimizer, **options) if record else None

        def run() -> None:
            for _ in range(steps):
                optimizer.zero_grad()
                loss = model(x)["loss"]
                loss.backward()
                optimizer.step()
                if recorder is not None:
                    recorder.log(loss=loss)

        return run

    return {
        "plain": loop(None),
        "plain again": loop(None),
        "Recorder": loop("all"),
        "Recorder, ratios every 100": loop("ratios"),
    }


def lightning(steps: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """Lightning's ``Trainer``, made anew for each run, as it must be."""
    from lightning.pytorch import LightningModule, Trainer

    from layerwise.torch.lightning import Recorder as LightningRecorder

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = Network()

        def training_step(self, batch: Any, index: int) -> Any:
            return self.network(batch)["loss"]

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    batches = torch.utils.data.DataLoader(torch.randn(steps * BATCH, WIDTH), batch_size=BATCH)

    def fit(record: bool) -> None:
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[LightningRecorder(tempfile.mkdtemp(dir=folder))] if record else [],
        )
        trainer.fit(Module(), batches)

    return {
        "plain": partial(fit, False),
        "plain again": partial(fit, False),
        "Recorder": partial(fit, True),
    }


def trainer(steps: int, folder: Path) -> dict[str, Callable[[], Any]]:
    """The Transformers ``Trainer``, made anew for each run."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    from layerwise.torch.transformers import Recorder as TrainerRecorder

    data = [{"x": x, "labels": x} for x in torch.randn(steps * BATCH, WIDTH)]

    def train(record: bool) -> None:
        arguments = TrainingArguments(
            tempfile.mkdtemp(dir=folder),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        callbacks = [TrainerRecorder(tempfile.mkdtemp(dir=folder))] if record else []
        made = Trainer(Network(), arguments, train_dataset=data, callbacks=callbacks)
        made.remove_callback(PrinterCallback)
        made.train()

    return {
        "plain": partial(train, False),
        "plain again": partial(train, False),
        "Recorder": partial(train, True),
    }


PLACES = {
    "plain PyTorch": (plain_loop, "torch"),
    "Lightning": (lightning, "lightning"),
    "Transformers": (trainer, "transformers"),
}


def main() -> None:
    """Measure each place in which a recorder stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="steps in a run")
    asked = _interleaved.parsed(parser, rounds=4, steps=60)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)  # the frameworks' words about themselves
    for place, (ways, package) in PLACES.items():
        if importlib.util.find_spec(package) is None:
            print(f"{place}: {package} is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            taken = _interleaved.in_turns(ways(asked.steps, Path(folder)), asked.rounds)
        step = 1e3 * statistics.median(taken["plain"]) / asked.steps
        title = f"{place}, {LAYERS} layers of {WIDTH}, {step:.1f} ms a plain step"
        ratios = {n: _interleaved.ratio(t, taken["plain"]) for n, t in taken.items()}
        _interleaved.page(title, {"with / plain": ratios})


if __name__ == "__main__":
    main()
