"""Values as HTML for notebooks: a table or a small picture; opened by ``_show`` alone.

It needs neither Rich nor Matplotlib, and a page that shows it needs no script.
"""

from layerwise._html._markup import Row, plain, table
from layerwise._html._values import finding, history, rates_finding, schedule

__all__ = ["Row", "finding", "history", "plain", "rates_finding", "schedule", "table"]
