"""The lab as one value: where everything of it is."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Lab(BaseModel):
    """All that one needs to try things on the lab."""

    model_config = ConfigDict(frozen=True)
    id: str
    folder: Path
    home: Path
    ledger: str
    service: str = "checkout"
    environment: str = "staging"
    incident: str = ""
    edge_url: str
    cache_url: str
    inventory_url: str
    health_url: str
    supervisor: str
    runtime_socket: str
    release_roots: dict[str, Path]
    alerts: Path
