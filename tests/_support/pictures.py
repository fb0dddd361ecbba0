"""Axes to draw on, and how well a colour stands out."""

from matplotlib.figure import Figure

from layerwise.plots._style import luminance

GROUNDS = ("#ffffff", "#111111")


def axes(ground="white"):
    """Axes of 600 x 400 pixels that pyplot knows nothing of."""
    figure = Figure(figsize=(6, 4), dpi=100, facecolor=ground, layout="constrained")
    return figure.subplots()


def contrast(one, other):
    """The contrast ratio of WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
