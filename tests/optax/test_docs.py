"""Every example of docs/optax.md runs, and prints what the page says."""

from tests._support import pages

PAGE = pages.DOCS / "optax.md"


def test_the_page_runs_from_top_to_bottom() -> None:
    blocks = pages.blocks(PAGE)
    assert sum(block.kind == pages.RUN for block in blocks) >= 8
    shown = [block for block in blocks if block.kind == pages.OUTPUT]
    assert len(shown) == sum("print(" in block.text for block in blocks) > 1
    assert "head/kernel" in shown[0].text
    pages.run(PAGE)
