"""Reports of predictions and trainings: what belongs together is found, read and made into pages.

``grjca.report`` draws what it is given as plain data; here the tables, videos, labels, faces and
runs that a report is about are joined and handed to it.
"""

from grjca.reporting.making import MakeResult, make_report

__all__ = ["MakeResult", "make_report"]
