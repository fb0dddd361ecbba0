"""The main job on real data: five ways to fine-tune a network on few labels, side by side."""

from layerwise.demo._backend import Backend, use_backend
from layerwise.demo._compare import Comparison, Reached, Result, Settings, compare
from layerwise.demo._digits import Digits, balanced, mnist_digits, uci_digits
from layerwise.demo._folder import new_folder, save_pictures
from layerwise.demo._show import finding_text, progress, verdict, ways_table
from layerwise.demo._ways import WAYS, Way

__all__ = [
    "WAYS",
    "Backend",
    "Comparison",
    "Digits",
    "Reached",
    "Result",
    "Settings",
    "Way",
    "balanced",
    "compare",
    "finding_text",
    "mnist_digits",
    "new_folder",
    "progress",
    "save_pictures",
    "uci_digits",
    "use_backend",
    "verdict",
    "ways_table",
]
