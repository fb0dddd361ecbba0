"""`python -m layerwise.cli` is the command, too."""

from layerwise.cli import app

if __name__ == "__main__":
    app(prog_name="layerwise")
