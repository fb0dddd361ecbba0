"""The report: one HTML page of what runs did, for any browser, without a network."""

from layerwise.report._write import write_report

__all__ = ["write_report"]
