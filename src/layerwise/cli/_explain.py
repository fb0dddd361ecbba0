"""``layerwise explain``: the plan of a saved model under the rules of a file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from layerwise._text import name_text, shown
from layerwise.cli._ending import errors_on_one_line
from layerwise.cli._files import input_argument, one_of, read_json
from layerwise.cli._models import KerasBackend, plan_of
from layerwise.cli._rules import rules_of

MATCHES = ("prefix", "substring", "glob", "regex")


def _steps(text: str) -> str:
    for part in filter(None, text.split(",")):
        digits = part.strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
            raise typer.BadParameter(f"{shown(part)} is no step. Write steps as 0,100,1000.")
    return text


def _match(name: str) -> str:
    return one_of(name, MATCHES)


def explain(
    model: Annotated[
        Path, input_argument("A .keras model, or weights: .safetensors, .pt, .pth or .npz.")
    ],
    rules: Annotated[
        Path,
        input_argument(
            'Rules as JSON: {"backbone": 0.1}, or what rules_to_config gives; - reads stdin.'
        ),
    ],
    *,
    steps: Annotated[
        str,
        typer.Option(metavar="N,N,...", callback=_steps, help="More steps to show rates at."),
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option(min=0.0, metavar="RATE", help="The base rate; by default the model's own."),
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
    """Show which parameter of a saved model gets which rate, before any training."""
    from rich.console import Console
    from rich.text import Text

    chosen = tuple(int(part) for part in steps.split(",") if part.strip())
    with errors_on_one_line():
        known = rules_of(read_json(rules))
        with Console(stderr=True).status(Text(f"Reading {name_text(model.name)}")):
            plan = plan_of(model, known, match=match, strict=strict, backend=backend)
        plan = replace(plan, steps=chosen)
        if rate is not None:
            plan = replace(plan, learning_rate=rate)
        if as_json:
            typer.echo(json.dumps(plan.to_dict(), allow_nan=False))
        else:
            Console().print(plan, highlight=False)
