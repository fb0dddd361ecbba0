"""Each block of the README runs alone: as a file of its own, in an empty folder."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support import pages, scripts

README = pages.ROOT / "README.md"
BACKENDS = ("jax", "tensorflow", "torch")


def shown() -> Iterator[tuple[str, str, str]]:
    """Each block that runs, with the heading that it stands under and what it is to print."""
    text = README.read_text(encoding="utf-8")
    found = pages.blocks(README)
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.kind == pages.RUN:
            above = text.splitlines()[: block.line]
            heading = [line for line in above if re.match(r"## ", line)][-1].removeprefix("## ")
            assert after is not None
            assert after.kind == pages.OUTPUT, f"{block.where} shows nothing of what it prints"
            yield heading, block.text, after.text


BLOCKS = {heading: (code, output) for heading, code, output in shown()}
CASES = [
    (heading, backend)
    for heading in BLOCKS
    for backend in (BACKENDS if heading == "Keras" else BACKENDS[:1])
]


@pytest.mark.parametrize(("heading", "backend"), CASES)
def test_a_block_runs_alone(heading: str, backend: str, tmp_path: Path) -> None:
    code, output = BLOCKS[heading]
    printed = scripts.run_file(code, tmp_path, KERAS_BACKEND=backend)
    assert scripts.same(output, printed), printed


def test_there_is_a_block_for_each_framework() -> None:
    assert list(BLOCKS) == ["Keras", "PyTorch", "Optax", "Which rate"]


def test_what_the_finding_is_worth_is_measured_on_a_page() -> None:
    sentence = next(
        line for line in README.read_text("utf-8").splitlines() if "Five epochs" in line
    )
    page = (pages.DOCS / "finder.md").read_text(encoding="utf-8")
    measured = dict(re.findall(r"^rate (\S+): (\S+) of the test images", page, re.MULTILINE))
    accuracy, usual = re.findall(r"0\.\d{3}(?= |\.$)", sentence)[:2]
    assert measured["0.0213"] == accuracy
    assert measured["0.0010"] == usual


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README.read_text(encoding="utf-8"))
    assert len(links) > 20
    for link in links:
        assert (pages.ROOT / link).is_file(), link


def test_words_are_compared_exactly_and_decimals_nearly() -> None:
    assert scripts.same("rate 0.0213, loss 0.220", "rate  0.0214,\nloss 0.2198")
    for printed in ("rate 0.0216", "rates 0.0213", "rate 0.0213 1", "rate"):
        assert not scripts.same("rate 0.0213", printed), printed
    assert not scripts.same("4 probes", "5 probes")


def test_a_block_that_fails_is_shown(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no_such_name"):
        scripts.run_file("print(no_such_name)", tmp_path)
