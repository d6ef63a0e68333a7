"""Plug-ins to install: directories that look as pip leaves them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Site:
    """A directory with installed distributions, and commands that see it."""

    path: Path

    def install(self, name: str, code: str, *, group: str = "rules", version: str = "1.0") -> None:
        """Install a distribution of one module with one entry point."""
        module = f"{name.replace('-', '_')}_module"
        (self.path / f"{module}.py").write_text(code, encoding="utf-8")
        info = self.path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = f"[onnxprune.{group}]\n{name}-point = {module}\n"
        (info / "entry_points.txt").write_text(points)

    def run(self, *arguments: object, allow: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a Python program with these distributions in front."""
        paths = [str(self.path), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
        env.pop("ONNXPRUNE_PLUGINS", None)
        if allow is not None:
            env["ONNXPRUNE_PLUGINS"] = allow
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip

    def onnxprune(
        self, *arguments: object, allow: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run("-m", "onnxprune", *arguments, allow=allow)

    def listed(self, *, allow: str | None = None) -> dict[str, dict]:
        """Return what `onnxprune plugins` says of these distributions, by name."""
        done = self.onnxprune("plugins", "--json", "-", allow=allow)
        assert done.returncode == 0, done.stderr
        return {p["distribution"]: p for p in json.loads(done.stdout)["plugins"]}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty place to install plug-ins in."""
    path = tmp_path / "site"
    path.mkdir()
    return Site(path)
