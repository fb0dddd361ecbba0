"""What MkDocs calls while it builds the site: formulas and pictures."""

from typing import Any

from formulas import Formulas
from mkdocs.plugins import event_priority
from pictures import with_pictures


@event_priority(100)  # before mkdocstrings takes the list of extensions
def on_config(config: Any) -> Any:
    """Teach Markdown formulas, on the pages and in docstrings."""
    config.markdown_extensions += [Formulas()]
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Put a picture under each block of schedules that asks for one."""
    return with_pictures(markdown, page, config, files)
