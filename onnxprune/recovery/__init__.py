"""Repair what pruning breaks, without training: unlabelled samples and forward passes only."""
