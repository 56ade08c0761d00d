"""Collections of the community, from the wheel that carries them all: fetched once, and only the folders that are asked for kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


def collections(*names: str) -> Path:
    """A folder for ANSIBLE_COLLECTIONS_PATH that holds these, each `namespace.name`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sre-responder" / "collections"
    wanted = {name: f"ansible_collections/{name.replace('.', '/')}/" for name in names}
    if all((cache / place / "MANIFEST.json").is_file() for place in wanted.values()):
        return cache
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, "ansible"], check=True)
        [wheel] = Path(folder).glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for place in wanted.values():
                archive.extractall(cache, [name for name in archive.namelist() if name.startswith(place)])
    return cache
