"""How long it takes to resolve 100,000 names against 1,000 prefix rules.

    python benchmarks/resolve.py

Prints the median and the spread of several runs and writes benchmarks/results/resolve.json.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import _interleaved

from layerwise.multipliers import Parameter, Plan, resolve

RESULT = Path(__file__).parent / "results" / "resolve.json"


def parameters(count: int, wrapper: str = "") -> list[Parameter]:
    """Names of a very large model: blocks of 20 parameters, as a Keras model prints them."""
    parts = [
        f"{layer}/{weight}"
        for layer in ("mha/query", "mha/key", "mha/value", "mha/attention_output", "norm1")
        for weight in ("kernel", "bias")
    ] + [
        f"{layer}/{weight}"
        for layer in ("ffn/dense", "ffn/dense_1", "norm2", "gate", "scale")
        for weight in ("kernel", "bias")
    ]
    names = [f"block_{i // 20}/{parts[i % 20]}" for i in range(count)]
    short = [name if wrapper else None for name in names]
    return [Parameter(wrapper + name, short=s) for name, s in zip(names, short, strict=True)]


def rules(count: int, blocks: int) -> dict[str, float]:
    """Half the keys are whole blocks, half are layers in them, which win there."""
    keys = [f"block_{i * blocks // count}/" + "mha" * (i % 2) for i in range(count)]
    return {key: 1.0 / (i + 1) for i, key in enumerate(keys)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = _interleaved.parsed(parser, repeats=2)
    keys = rules(arguments.rules, arguments.names // 20)
    cases = {
        "full names": parameters(arguments.names),
        "keys without the model's name": parameters(arguments.names, wrapper="sequential/"),
    }
    results = {}
    print(f"{arguments.names:,} names x {len(keys):,} prefix rules, {arguments.repeats} runs each")
    for title, known in cases.items():
        seconds = []
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            plan = resolve(known, keys)
            seconds.append(time.perf_counter() - start)
        check(plan, len(keys))
        median = statistics.median(seconds)
        print(f"  {title:32}{median:8.3f} s   ({min(seconds):.3f} to {max(seconds):.3f})")
        results[title] = {
            "median_s": median,
            "min_s": min(seconds),
            "max_s": max(seconds),
            "seconds": seconds,
        }
    RESULT.parent.mkdir(exist_ok=True)
    report = {
        "names": arguments.names,
        "rules": len(keys),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cases": results,
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"written: benchmarks/results/{RESULT.name}")


def check(plan: Plan, count: int) -> None:
    """Make sure that what was timed is the answer: every rule won somewhere."""
    won = {row.rule for row in plan.rows} - {None}
    if len(won) != count:
        raise SystemExit(f"only {len(won)} of {count} rules won: the benchmark is broken")


if __name__ == "__main__":
    main()
