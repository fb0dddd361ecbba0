"""What MkDocs calls while it builds the site: formulas, pictures and `llms.txt`."""

from pathlib import Path
from typing import Any

from formulas import Formulas
from llms import llms_text
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File
from pictures import with_pictures


@event_priority(100)  # before mkdocstrings takes the list of extensions
def on_config(config: Any) -> Any:
    """Teach Markdown formulas, on the pages and in docstrings."""
    config.markdown_extensions += [Formulas()]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Put `llms.txt` at the root of the site."""
    text = llms_text(
        config.site_name,
        config.site_description,
        config.nav,
        Path(config.docs_dir),
        config.site_url or "",
    )
    files.append(File.generated(config, "llms.txt", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Put a picture under each block of schedules that asks for one."""
    return with_pictures(markdown, page, config, files)
