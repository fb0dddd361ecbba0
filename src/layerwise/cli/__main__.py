"""Runs the command as ``python -m layerwise.cli``."""

from layerwise.cli import app

if __name__ == "__main__":
    app(prog_name="layerwise")
