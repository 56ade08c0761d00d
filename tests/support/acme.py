"""The distribution of another company, built and installed into a folder without any network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "acme_responder"
TAKEN = {"acme-responder": ">=1.2,<2"}


def install(into: Path) -> Path:
    """Install it there, with pip; return the folder, which is for PYTHONPATH."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(into), str(SOURCE)], check=True)
    return into


def upgrade(folder: Path, version: str) -> None:
    """Make another version of what is installed."""
    [metadata] = folder.glob("acme_responder-*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: 1.2.0", f"Version: {version}"))
