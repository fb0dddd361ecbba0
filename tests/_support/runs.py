"""Runs to report on: a real little training, recorded as a user would."""

from dataclasses import replace

import numpy as np

from layerwise import cosine, warmup
from layerwise.finder import QuadraticTrainer, search
from layerwise.multipliers import Parameter, resolve
from layerwise.recorder import Recorder
from tests._support.rates import found as rates_found

FILE = "record.jsonl"
"""What a recorder writes into its run's folder."""

STEPS, EPOCH = 300, 60
EVIL = "<script>alert(1)</script>"


def train(folder, rate=0.5, *, names=("body", "head"), metric="accuracy", steps=STEPS):
    """Logistic regression in NumPy: two groups of weights, a schedule, ratios, all recorded."""
    random = np.random.default_rng(0)
    data = random.standard_normal((400, 8))
    labels = (data @ random.standard_normal(8) + 0.5 * random.standard_normal(400) > 0) * 1.0
    schedule = warmup(20) >> cosine(STEPS - 20)
    parameters = [Parameter(name, (4,)) for name in names]
    plan = resolve(parameters, {names[0]: 0.1}, learning_rate=rate)
    plan = replace(plan, schedule=schedule)
    weights = np.zeros(8)
    with Recorder(folder) as recorder:
        found = search(QuadraticTrainer(), range(200), method="sweep", progress=False)
        recorder.save_finding(found)
        rates = rates_found(0.3, count=2)
        bands = [replace(band, name=name) for band, name in zip(rates.bands, names, strict=True)]
        recorder.save_finding(replace(rates, bands=tuple(bands)))
        recorder.save_plan(plan, STEPS)
        for step in range(steps):
            batch = random.integers(0, 400, 16)
            chance = 1 / (1 + np.exp(-data[batch] @ weights))
            right = np.where(labels[batch] == 1, chance, 1 - chance)
            rates = plan.rates(step)
            update = np.repeat(rates, 4) * (data[batch].T @ (chance - labels[batch]) / 16)
            size = np.linalg.norm(weights.reshape(2, 4), axis=1) + 1e-3
            ratios = np.linalg.norm(update.reshape(2, 4), axis=1) / size
            weights = weights - update
            recorder.log(
                step=step,
                epoch=step // EPOCH,
                loss=-np.log(right + 1e-9).mean(),
                metrics={metric: (right > 0.5).mean()},
                rate=rate * schedule(step),
                rates=dict(zip(names, rates, strict=True)),
                ratios=dict(zip(names, ratios, strict=True)) if step % 5 == 0 else None,
            )
            if step % EPOCH == EPOCH - 1:
                held_out = 1 / (1 + np.exp(-data @ weights))
                recorder.log_epoch(
                    step // EPOCH,
                    metrics={f"val_{metric}": ((held_out > 0.5) == labels).mean()},
                )
    return folder
