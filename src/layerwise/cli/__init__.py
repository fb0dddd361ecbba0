"""The command `layerwise`, one subcommand a file.

What a subcommand works with it imports when it runs, so that help is there at once.
"""

try:
    import rich  # noqa: F401
    import typer  # noqa: F401
except ModuleNotFoundError as error:
    raise SystemExit(
        f'The command layerwise needs {error.name}: pip install "layerwise[cli]"'
    ) from error

from layerwise.cli._app import app

__all__ = ["app"]
