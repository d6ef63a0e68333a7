"""What the commands say: JSON documents with a schema, tables for people, pictures of the graph."""

from __future__ import annotations
