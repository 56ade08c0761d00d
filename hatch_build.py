"""Build hook: one wheel carries the library and, under ansible_collections/sre/responder, the collection."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HOUSE = "ansible_collections/sre/responder"
FOLDERS = ("meta", "plugins", "roles", "playbooks", "extensions")
FILES = ("README.md", "LICENSE", "requirements.txt", "bindep.txt")
LEFT_OUT = ("__pycache__", ".pyc", ".gitkeep")


class CustomBuildHook(BuildHookInterface):
    """Maps files only into a real wheel: an editable one finds them through .dev and must not keep a stale copy."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        into: dict[str, str] = build_data["force_include"]
        contents = collection_files(root)
        for path in contents:
            into[str(root / path)] = f"{HOUSE}/{path.as_posix()}"
        if not (root / "sre_responder/runbooks").exists():  # an sdist has no links
            into[str(root / "runbooks")] = "sre_responder/runbooks"
        written = Path(tempfile.mkdtemp(prefix="sre-responder-"))
        atexit.register(shutil.rmtree, written, ignore_errors=True)
        for name, text in manifests(root, contents).items():
            page = written / name
            page.write_text(text)
            into[str(page)] = f"{HOUSE}/{name}"


def collection_files(root: Path) -> list[Path]:
    """The collection's files, relative to the root, in a stable order."""
    found = [root / name for name in FILES]
    for folder in FOLDERS:
        found += (root / folder).rglob("*")
    return sorted(p.relative_to(root) for p in found if p.is_file() and not str(p).endswith(LEFT_OUT))


def manifests(root: Path, contents: list[Path]) -> dict[str, str]:
    """MANIFEST.json and FILES.json, as `ansible-galaxy collection build` writes them."""
    folders = {parent for path in contents for parent in path.parents}
    entries: list[dict[str, Any]] = [entry("." if str(p) == "." else p.as_posix()) for p in sorted(folders)]
    entries += [entry(p.as_posix(), (root / p).read_bytes()) for p in contents]
    files = json.dumps({"files": entries, "format": 1}, indent=1)
    galaxy = yaml.safe_load((root / "galaxy.yml").read_text())
    galaxy.pop("build_ignore", None)
    info = {"license_file": None, "dependencies": {}, "documentation": None, "homepage": None, "issues": None} | galaxy
    about = {
        "collection_info": info,
        "file_manifest_file": entry("FILES.json", files.encode()),
        "format": 1,
    }
    return {"FILES.json": files, "MANIFEST.json": json.dumps(about, indent=1)}


def entry(name: str, content: bytes | None = None) -> dict[str, Any]:
    if content is None:
        return {"name": name, "ftype": "dir", "chksum_type": None, "chksum_sha256": None, "format": 1}
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "ftype": "file", "chksum_type": "sha256", "chksum_sha256": digest, "format": 1}
