"""The recorder as a callback of the Transformers Trainer."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before it is imported: no look-up of any model, anywhere.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import transformers

from layerwise import cosine, warmup
from layerwise.recorder import History, RecorderWarning
from layerwise.torch import ScheduleLR, param_groups
from layerwise.torch.transformers import Recorder
from tests._support.torch.networks import bits

SCHEDULE = warmup(3, start=0.25) >> cosine(20)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),  # there is no GPU here
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers.*"),
]


class Listening(transformers.Trainer):
    """Keeps what each call of training_step returns: the batch's loss, as the Trainer adds it."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().training_step(*args, **kwargs)
        self.losses = [*getattr(self, "losses", []), loss.item()]
        return loss


def make_bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        max_position_embeddings=16,
        num_labels=2,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    return transformers.BertForSequenceClassification(config)


def make_gpt2() -> Any:
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    )


def make_dataset(tokens: bool = False) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(20, (16, 6), generator=generator)
    return [{"input_ids": row, "labels": row if tokens else int(row[0]) % 2} for row in ids]


def train(
    run: Path,
    folder: Path,
    model: Any,
    *,
    callbacks: Any = None,
    loss: Any = None,
    prepare: Any = lambda trainer: None,
    **options: Any,
) -> Any:
    optimizer = torch.optim.AdamW(param_groups(model, {"bert": 0.1}, lr=0.01, strict=False))
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    arguments = transformers.TrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        logging_steps=3,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        seed=1,
        **options,
    )
    data = make_dataset(tokens=isinstance(model, transformers.GPT2LMHeadModel))
    trainer = Listening(
        model,
        arguments,
        train_dataset=data,
        eval_dataset=data[:4],
        optimizers=(optimizer, scheduler),
        callbacks=[Recorder(run, ratios=4)] if callbacks is None else callbacks,
        compute_loss_func=loss,
    )
    trainer.remove_callback(transformers.PrinterCallback)
    prepare(trainer)
    trainer.train()
    return trainer


def test_rows_of_updates_and_epochs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer = train(run, tmp_path / "a", make_bert(), eval_strategy="epoch")
    history = History.load(run)
    batch = history.batch
    assert batch["step"].tolist() == list(range(8))
    assert batch["epoch"].tolist() == [0] * 4 + [1] * 4
    assert batch["loss"].tolist() == pytest.approx(trainer.losses, rel=1e-6)
    rates = [0.01 * SCHEDULE(step) for step in range(8)]
    assert batch["rates/default"].tolist() == pytest.approx(rates)
    assert batch["rates/bert"].tolist() == pytest.approx([0.1 * rate for rate in rates])
    assert batch["ratios/classifier"][4] > 0
    assert history.epoch["epoch"].tolist() == [0, 1]
    assert history.epoch["step"].tolist() == [4, 8]
    measured = [line["eval_loss"] for line in trainer.state.log_history if "eval_loss" in line]
    assert history.epoch["eval_loss"].tolist() == pytest.approx(measured)
    assert not trainer.model._forward_hooks
    plain = train(run, tmp_path / "b", make_bert(), callbacks=[], eval_strategy="epoch")
    assert bits(trainer.model.parameters()) == bits(plain.model.parameters())


def test_accumulated_batches_are_one_row(tmp_path: Path) -> None:
    for name, make in {"bert": make_bert, "gpt2": make_gpt2}.items():  # means, and shares
        run = tmp_path / name
        trainer = train(run, tmp_path / "a", make(), gradient_accumulation_steps=2)
        pairs = zip(trainer.losses[::2], trainer.losses[1::2], strict=True)
        batch = History.load(run).batch
        assert batch["step"].tolist() == list(range(4))
        assert batch["loss"].tolist() == pytest.approx([a + b for a, b in pairs], rel=1e-6)


@pytest.mark.parametrize("averages", [True, False])
def test_a_loss_divided_by_the_tokens_of_several_processes(tmp_path: Path, averages: bool) -> None:
    """Then the Trainer multiplies it by their number before it computes gradients."""
    model, row = make_gpt2(), make_dataset(tokens=True)[0]
    for dropout in (part for part in model.modules() if isinstance(part, torch.nn.Dropout)):
        dropout.p = 0.0
    batch = {name: value[None] for name, value in row.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    arguments = SimpleNamespace(average_tokens_across_devices=averages, world_size=4)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    recorder, tokens = Recorder(tmp_path), 5  # of 6 tokens the first is none to predict
    recorder.on_train_begin(arguments, state, control, model=model, optimizer=optimizer)
    for accumulated in (1, 2):
        recorder.on_step_begin(arguments, state, control)
        for _ in range(accumulated):
            items = tokens * accumulated * (4 if averages else 1)
            model(**batch, num_items_in_batch=torch.tensor(items))
        optimizer.step()
        state.global_step += 1
        recorder.on_step_end(arguments, state, control)
    recorder.on_train_end(arguments, state, control)
    mean = model.eval()(**batch).loss.item()
    recorded = History.load(tmp_path).batch["loss"].tolist()
    assert recorded == pytest.approx([mean, mean], rel=1e-6)


def test_a_loss_function_of_ones_own(tmp_path: Path) -> None:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        return 3 * torch.nn.functional.cross_entropy(outputs["logits"], labels)

    recorder = Recorder(tmp_path / "run")
    trainer = train(
        tmp_path, tmp_path / "a", make_bert(), callbacks=[recorder], loss=recorder.of(loss)
    )
    batch = History.load(tmp_path / "run").batch
    assert batch["loss"].tolist() == pytest.approx(trainer.losses, rel=1e-6)


@pytest.mark.parametrize("make", [make_bert, make_gpt2])
def test_a_loss_of_smoothed_labels(tmp_path: Path, make: Any) -> None:
    recorder = Recorder(tmp_path / "run")

    def prepare(trainer: Any) -> None:
        trainer.label_smoother = recorder.of(trainer.label_smoother)

    options: Any = {"label_smoothing_factor": 0.2, "gradient_accumulation_steps": 2}
    trainer = train(
        tmp_path, tmp_path / "a", make(), callbacks=[recorder], prepare=prepare, **options
    )
    pairs = zip(trainer.losses[::2], trainer.losses[1::2], strict=True)
    recorded = History.load(tmp_path / "run").batch["loss"].tolist()
    assert recorded == pytest.approx([a + b for a, b in pairs], rel=1e-6)
    with pytest.warns(RecorderWarning, match=r"=0\.2.*label_smoother = recorder\.of"):
        train(tmp_path / "other", tmp_path / "b", make(), **options)


@pytest.mark.parametrize("averages", [True, False])
def test_losses_of_two_devices_of_one_process(tmp_path: Path, averages: bool) -> None:
    """``DataParallel`` calls the hooks of a model in a thread for each device."""
    model, rows = make_gpt2(), make_dataset(tokens=True)[:2]
    for dropout in (part for part in model.modules() if isinstance(part, torch.nn.Dropout)):
        dropout.p = 0.0
    batches = [{name: value[None] for name, value in row.items()} for row in rows]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    arguments = SimpleNamespace(average_tokens_across_devices=averages, world_size=1, n_gpu=2)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    recorder, tokens = Recorder(tmp_path), 10  # of 6 tokens the first is none to predict
    recorder.on_train_begin(arguments, state, control, model=model, optimizer=optimizer)
    recorder.on_step_begin(arguments, state, control)
    items = torch.tensor(tokens if averages else tokens // 2)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda batch: model(**batch, num_items_in_batch=items), batches))
    optimizer.step()
    state.global_step += 1
    recorder.on_step_end(arguments, state, control)
    recorder.on_train_end(arguments, state, control)
    mean = sum(model.eval()(**batch).loss.item() for batch in batches) / 2
    assert History.load(tmp_path).batch["loss"].tolist() == [pytest.approx(mean, rel=1e-6)]


def test_a_loss_that_it_can_not_see_is_said(tmp_path: Path) -> None:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        return torch.nn.functional.cross_entropy(outputs["logits"], labels)

    with pytest.warns(RecorderWarning, match="compute_loss_func=recorder.of"):
        train(tmp_path / "run", tmp_path / "a", make_bert(), loss=loss)
    batch = History.load(tmp_path / "run").batch
    assert "loss" not in batch
    assert len(batch["rates/bert"]) == 8
