"""Structures that random graphs are grown from, one family per module."""
