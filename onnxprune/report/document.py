"""What all JSON documents have in common: versioned; fields may be added, never renamed."""

from __future__ import annotations

import json
import re

from pydantic import BaseModel, ConfigDict

from onnxprune.version import __version__

TOOL = f"onnxprune {__version__}"


class Document(BaseModel):
    """Base of all documents and their parts."""

    model_config = ConfigDict(frozen=True)

    def to_json(self) -> str:
        """Return the document as ASCII: safe to show, whatever names it holds."""
        return _NOT_PLAIN.sub(_escaped, self.model_dump_json(indent=1)) + "\n"


# All of these stand inside strings, where JSON has escapes for them.
_NOT_PLAIN = re.compile(r"[^\n\x20-\x7e]")


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1] if match[0] != "\x7f" else "\\u007f"
