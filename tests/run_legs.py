"""Runs the tests in legs, each a pytest process of its own; Keras has one backend a process.

    python tests/run_legs.py                       all legs, two at a time
    python tests/run_legs.py torch -- -k nadam     one leg, with arguments for pytest

`make test` calls this. The last line has the summed counts.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS_COLLECTED = 5  # pytest's exit status


@dataclass(frozen=True)
class Leg:
    """Paths for pytest, run under one Keras backend; in `src` they are searched for doctests."""

    name: str
    backend: str
    paths: tuple[str, ...]


NOUNS = (
    "tests/finder",
    "tests/house",
    "tests/multipliers",
    "tests/recorder",
    "tests/schedules",
    "src/layerwise/__init__.py",
    "src/layerwise/errors.py",
    "src/layerwise/finder",
    "src/layerwise/multipliers",
    "src/layerwise/recorder",
    "src/layerwise/schedules",
)
FACES = (
    "tests/faces",
    "tests/report",
    "src/layerwise/cli",
    "src/layerwise/plots",
    "src/layerwise/report",
)
KERAS = (
    "tests/demo",
    "tests/keras",
    "tests/seeds",
    "src/layerwise/demo",
    "src/layerwise/keras",
)
TORCH = ("tests/torch", "src/layerwise/torch")
OPTAX = ("tests/optax", "tests/parity", "src/layerwise/optax")

# In an environment of its own, with the versions of constraints-oldest.txt: only when it is named.
OLDEST = Leg(
    "oldest",
    "jax",
    (
        "tests/keras/test_decay_rules.py",
        "tests/keras/test_explain.py",
        "tests/keras/test_find_lr.py",
        "tests/keras/test_find_lr_bad_input.py",
        "tests/keras/test_hooks.py",
        "tests/keras/test_layers.py",
        "tests/keras/test_loss_scaling.py",
        "tests/keras/test_recorder.py",
        "tests/keras/test_saving.py",
        "tests/keras/test_training_hooks.py",
        "tests/optax/test_explain.py",
        "tests/optax/test_find_lr.py",
        "tests/optax/test_find_rates.py",
        "tests/optax/test_frozen.py",
        "tests/optax/test_rates.py",
        "tests/optax/test_steps.py",
    ),
)

# The long ones first, so that none is left running alone at the end.
LEGS = (
    Leg("tensorflow", "tensorflow", KERAS),
    Leg("jax", "jax", KERAS),
    Leg("torch", "torch", KERAS),
    Leg("torch-native", "torch", TORCH),
    Leg("optax", "jax", OPTAX),
    Leg("faces", "jax", FACES),
    Leg("docs", "jax", ("tests/docs",)),
    Leg("nouns", "jax", NOUNS),
)


@dataclass(frozen=True)
class Outcome:
    """How one leg ended: pytest's exit status, its output, and the counts of its last line."""

    leg: Leg
    status: int
    output: str
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Failures and errors; a leg that broke off without naming one counts as one."""
        return max(self.counts["failed"] + self.counts["error"], int(self.status != 0))


def counts_of(output: str) -> Counter[str]:
    """The numbers in pytest's closing line: `3 passed, 1 error in 0.5s` has passed 3, error 1."""
    lines = output.strip().splitlines() or [""]
    found = re.findall(r"(\d+) (passed|failed|error|skipped|xfailed|xpassed)", lines[-1])
    return Counter({word: int(number) for number, word in found})


def faults(legs: Iterable[Leg], root: Path = ROOT) -> list[str]:
    """What would leave tests out unnoticed: a path that is not there, a test in no leg."""
    legs = list(legs)
    missing = [
        f"leg {leg.name}: there is no {path}"
        for leg in legs
        for path in leg.paths
        if not (root / path).exists()
    ]
    named = {path for leg in legs for path in leg.paths}
    tests = {path.relative_to(root).parts[1] for path in (root / "tests").rglob("test_*.py")}
    stray = [
        f"tests/{name} is in no leg of tests/run_legs.py"
        for name in sorted(tests)
        if f"tests/{name}" not in named
    ]
    return missing + stray


def environment(leg: Leg, threads: int) -> dict[str, str]:
    """The leg's backend, and few enough threads that legs side by side do not fight."""
    limits = ("OMP", "OPENBLAS", "MKL")
    ours = {f"{library}_NUM_THREADS": str(threads) for library in limits}
    ours |= {f"TF_NUM_{kind}OP_THREADS": str(threads) for kind in ("INTRA", "INTER")}
    quiet = {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "Agg", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return ours | quiet | dict(os.environ) | {"KERAS_BACKEND": leg.backend}


def run(leg: Leg, pytest_args: Sequence[str], threads: int) -> Outcome:
    """One leg to its end, its output kept together."""
    command = [sys.executable, "-m", "pytest", "-q", "--doctest-modules", "--color=no"]
    done = subprocess.run(
        [*command, *leg.paths, *pytest_args],
        cwd=ROOT,
        env=environment(leg, threads),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    status = done.returncode
    if status == NO_TESTS_COLLECTED and pytest_args:
        status = 0  # a selection such as -k may well leave a leg empty; not all of them: see main
    return Outcome(leg, status, done.stdout, counts_of(done.stdout))


def main(arguments: Sequence[str]) -> int:
    """Run the legs asked for; 0 if all passed."""
    cores = os.cpu_count() or 1
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    pytest_args = arguments[cut + 1 :]
    parser = argparse.ArgumentParser(
        description="Run the tests in legs; after -- arguments for pytest."
    )
    parser.add_argument("legs", nargs="*", help=", ".join(leg.name for leg in LEGS))
    parser.add_argument("--jobs", type=int, default=min(2, cores), help="legs at a time")
    options = parser.parse_args(arguments[:cut])

    known = (*LEGS, OLDEST)
    unknown = set(options.legs) - {leg.name for leg in known}
    wrong = [f"there is no leg {name}" for name in sorted(unknown)] + faults(known)
    if wrong:
        print(*wrong, sep="\n")
        return 1
    legs = [leg for leg in known if leg.name in options.legs] or list(LEGS)
    jobs = min(options.jobs, len(legs))
    threads = max(1, cores // jobs)

    print(f"Running {', '.join(leg.name for leg in legs)}; {jobs} at a time", flush=True)
    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, leg, pytest_args, threads) for leg in legs]
        for future in as_completed(running):
            outcome = future.result()
            outcomes.append(outcome)
            print(f"\n==== {outcome.leg.name}\n{outcome.output.strip()}", flush=True)

    passed = sum(outcome.counts["passed"] for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    for outcome in outcomes:
        closing = outcome.output.strip().splitlines()[-1:]
        print(f"\n{outcome.leg.name:>10}: {''.join(closing)}", end="")
    print(f"\n\n{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
