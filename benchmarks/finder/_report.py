"""The table and the plot of what was measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]


def table(rows: Rows, title: str) -> Table:
    """Regrets and costs of each method over these rows, best mean first."""
    shown = Table(title=title)
    for name in ("method", "mean", "median", "worst", "over 5 %", "no answer", "updates"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for name, own in sorted(_by_method(rows).items(), key=lambda item: _mean(item[1])):
        regrets = np.array([row["regret"] for row in own])
        shown.add_row(
            name,
            f"{regrets.mean():.4f}",
            f"{np.median(regrets):.4f}",
            f"{regrets.max():.3f}",
            f"{(regrets > 0.05).mean():.0%}",
            str(sum(row["rate"] is None for row in own)),
            f"{np.mean([row['updates'] for row in own]):.0f}",
        )
    return shown


def worst_cases(rows: Rows, method: str, count: int = 8) -> Table:
    """The cases in which a method did worst."""
    shown = Table(title=f"{method}: the worst cases")
    for name in ("case", "regret", "suggestion", "best of the grid"):
        shown.add_column(name, justify="left" if name == "case" else "right")
    own = sorted(_by_method(rows)[method], key=lambda row: -row["regret"])[:count]
    for row in own:
        rate = "none" if row["rate"] is None else f"{row['rate']:.3g}"
        shown.add_row(row["case"], f"{row['regret']:.3f}", rate, f"{row['best']:.3g}")
    return shown


def plot(parts: dict[str, Rows], place: Path) -> None:
    """Which share of the cases has at most which regret, a line for each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(parts) + 2.5, 4.8), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(parts), sharey=True))
    names = sorted({row["method"] for rows in parts.values() for row in rows})
    colours = {name: f"C{number % 10}" for number, name in enumerate(names)}
    for ax, (part, rows) in zip(panels, parts.items(), strict=True):
        methods = sorted(_by_method(rows).items(), key=lambda item: _mean(item[1]))
        for name, own in methods:
            regrets = np.sort([max(row["regret"], 1e-4) for row in own])
            shares = np.arange(1, len(regrets) + 1) / len(regrets)
            ours = name.startswith("Layerwise")
            ax.step(
                regrets,
                shares,
                where="post",
                label=name,
                color="black" if ours else colours[name],
                linewidth=2.4 if ours else 1.2,
                linestyle=":" if ours and "alone" in name else "--" if "fastai" in name else "-",
            )
        ax.axvline(0.05, color="0.7", linewidth=0.8)
        cases = len({row["case"] for row in rows})
        ax.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1), xlabel="regret")
        ax.set_title(f"{part}, {cases} cases")
        ax.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("share of cases with at most this regret")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize="small")
    figure.savefig(place, dpi=150)


def save(parts: dict[str, Rows], folder: Path) -> None:
    """All rows as JSON, a file for each part."""
    for part, rows in parts.items():
        (folder / f"regrets-{part}.json").write_text(json.dumps(rows, indent=1))


def load(parts: tuple[str, ...], folder: Path) -> dict[str, Rows]:
    """The rows of those parts that were saved."""
    places = {part: folder / f"regrets-{part}.json" for part in parts}
    return {part: json.loads(place.read_text()) for part, place in places.items() if place.exists()}


def show(parts: dict[str, Rows], method: str) -> None:
    """The tables, on the terminal."""
    console = Console(width=100)
    for part, rows in parts.items():
        cases = len({row["case"] for row in rows})
        console.print(table(rows, f"Regret, {part} tasks: {cases} cases"))
        console.print(worst_cases(rows, method))


def _by_method(rows: Rows) -> dict[str, Rows]:
    methods: dict[str, Rows] = {}
    for row in rows:
        methods.setdefault(row["method"], []).append(row)
    return methods


def _mean(rows: Rows) -> float:
    return float(np.mean([row["regret"] for row in rows]))
