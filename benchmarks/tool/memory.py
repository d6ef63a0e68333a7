"""Run one `onnxprune` command line in this process and say how much memory it took at most.

Prints one JSON object after the command's own output. Started by `run.py`; what verification takes
is not part of it, that runs in a process of its own.

Usage::

    python benchmarks/tool/memory.py prune MODEL -o OUT --ratio 0.5 --no-verify
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Return the largest memory that this process had at one time (VmHWM).

    The operating system's accounting of resource usage would not do: a process inherits its
    figure from the one that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        message = "this system does not tell the peak memory of a process"
        raise OSError(message)
    return int(found[1]) << 10


def main() -> int:
    """Run the command line and report."""
    from onnxprune.cli.main import run  # noqa: PLC0415  # the peer's interpreter has none

    status = run(sys.argv[1:])
    print(json.dumps({"peak_bytes": peak_bytes()}))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
