"""The channel algebra: labels, dependency analysis, costs and plans; no runtime and no files."""
