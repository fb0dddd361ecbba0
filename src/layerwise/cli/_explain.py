"""``layerwise explain``: the plan of a model under the rules of a file."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from layerwise._text import name_text, shown
from layerwise.cli._ending import errors_on_one_line, show
from layerwise.cli._files import input_argument, one_of, read_json, readable
from layerwise.cli._models.made import model_source
from layerwise.cli._models.saved import KerasBackend, plan_of
from layerwise.cli._rules import rules_of

MATCHES = ("prefix", "substring", "glob", "regex")


def _steps(text: str) -> str:
    for part in filter(None, text.split(",")):
        digits = part.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            raise typer.BadParameter(f"{shown(part)} is no step. Write steps as 0,100,1000.")
    return text


def _rate(rate: float | None) -> float | None:
    if rate is not None and not math.isfinite(rate):
        raise typer.BadParameter(f"must be a finite number, got {rate}.")
    return rate


def _given(path: Path | None) -> Path | None:
    return None if path is None else readable(path)


def _match(name: str) -> str:
    return one_of(name, MATCHES)


def explain(
    model: Annotated[
        Path,
        input_argument(
            "A .keras model; weights: .safetensors, .pt, .pth or .npz; a Hugging Face folder; or "
            "module:factory, a function that makes a model.",
            model_source,
        ),
    ],
    rules: Annotated[
        Path,
        input_argument(
            'Rules as JSON: {"backbone": 0.1}, or what rules_to_config gives; - reads stdin.'
        ),
    ],
    *,
    decay_rules: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=_given, help="Rules for weight decay, in such JSON."),
    ] = None,
    steps: Annotated[
        str,
        typer.Option(metavar="N,N,...", callback=_steps, help="More steps to show rates at."),
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="RATE",
            callback=_rate,
            help="The base rate; by default the model's own.",
        ),
    ] = None,
    match: Annotated[
        str,
        typer.Option(
            metavar="MODE", callback=_match, help=f"How keys match: {', '.join(MATCHES)}."
        ),
    ] = "prefix",
    strict: Annotated[
        bool, typer.Option(help="Whether a rule that matches nothing is an error.")
    ] = True,
    backend: KerasBackend = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the columns of the table as JSON.")
    ] = False,
) -> None:
    """Show which parameter of a model gets which rate, before any training."""
    from rich.console import Console
    from rich.text import Text

    chosen = tuple(int(part) for part in steps.split(",") if part.strip())
    with errors_on_one_line():
        known = rules_of(read_json(rules))
        decays = None if decay_rules is None else rules_of(read_json(decay_rules))
        with Console(stderr=True).status(Text(f"Reading {name_text(model.name)}")):
            plan = plan_of(
                model, known, decay_rules=decays, match=match, strict=strict, backend=backend
            )
        plan = replace(plan, steps=chosen)
        if rate is not None:
            plan = replace(plan, learning_rate=rate)
        if as_json:
            typer.echo(json.dumps(plan.to_dict(), allow_nan=False))
        else:
            show(plan)
