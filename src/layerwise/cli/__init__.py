"""The command ``layerwise``, with a file for each subcommand.

A subcommand imports what it works with when it runs, so that help comes at once.
"""

try:
    import rich  # noqa: F401
    import typer  # noqa: F401
except ModuleNotFoundError as error:
    raise SystemExit(
        f'The command layerwise needs {error.name}: pip install "layerwise[cli]".'
    ) from error

from layerwise.cli._app import app

__all__ = ["app"]
