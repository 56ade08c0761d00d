"""A TCP probe: whether something accepts connections."""

from __future__ import annotations

import socket
import time
from typing import Literal

from pydantic import Field

from sre_responder.evidence.within import within
from sre_responder.model.look import Look, NotMeasured, Place, Sample


class Tcp(Look):
    """One connection, closed at once. Refused is bad: the machine answers, and the service does not. Silence is not measured."""

    source: Literal["tcp"] = "tcp"
    host: str = Field(min_length=1, description="$service, $environment and $NAME are filled in.")
    port: int = Field(gt=0, lt=65536)
    max_latency_ms: float | None = Field(None, gt=0)

    def measure(self, place: Place) -> Sample:
        host = place.filled(self.host)
        where, began = f"{host}:{self.port}", time.monotonic()
        try:
            within(self.timeout_s, f"connecting to {where}", lambda: _connect(host, self.port, self.timeout_s))
        except ConnectionRefusedError:
            return Sample(0, False, f"{where} refuses connections")
        except OSError as error:
            raise NotMeasured(f"cannot reach {where}: {error.strerror or error}") from error
        latency = (time.monotonic() - began) * 1000
        if self.max_latency_ms is not None and latency > self.max_latency_ms:
            slow = f"{where} accepts connections after {latency:.0f} ms, more than {self.max_latency_ms:g}"
            return Sample(0, False, slow, latency_ms=latency)
        return Sample(0, True, f"{where} accepts connections", latency_ms=latency)


def _connect(host: str, port: int, timeout_s: float) -> None:
    socket.create_connection((host, port), timeout_s).close()


SOURCE = Tcp
