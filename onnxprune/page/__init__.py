"""One page that shows results: HTML with its pictures inside, or Markdown."""

from __future__ import annotations

from onnxprune.page.collect import Results, read_results
from onnxprune.page.render import to_html, to_markdown

__all__ = ["Results", "read_results", "to_html", "to_markdown"]
