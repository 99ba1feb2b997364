"""Evaluation: the paper's Table 1 with what its reader needs beside it."""

from dcam_dist.evaluation.evaluate import Evaluation, evaluate
from dcam_dist.evaluation.table import render_console, render_markdown

__all__ = ["Evaluation", "evaluate", "render_console", "render_markdown"]
