"""The HTML report: pages made from plain data, each one file that needs nothing but a browser."""

from grjca.report.html.clip_page import clip_html
from grjca.report.html.index_page import index_html
from grjca.report.html.records import ClipPage, ClipRow, Face, Media
from grjca.report.html.run_page import EvaluationPart, RunPage, run_html

__all__ = [
    "ClipPage",
    "ClipRow",
    "EvaluationPart",
    "Face",
    "Media",
    "RunPage",
    "clip_html",
    "index_html",
    "run_html",
]
