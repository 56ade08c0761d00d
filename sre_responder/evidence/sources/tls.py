"""A TLS probe: whether the certificate is valid for the name, signed by a trusted authority, and for how long yet."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sre_responder.evidence.within import within
from sre_responder.model.look import Look, NotMeasured, Place, Sample

_DAY = 86_400


class Tls(Look):
    """One handshake. A certificate that a client would refuse is bad."""

    source: Literal["tls"] = "tls"
    host: str = Field(min_length=1, description="$service, $environment and $NAME are filled in.")
    port: int = Field(443, gt=0, lt=65536)
    server_name: str | None = Field(None, description="The name on the certificate; default: the host.")
    ca_certificate: Path | None = Field(
        None, description="The authority that signs it; default: those of this machine."
    )
    minimum_days: float = Field(0.0, ge=0, description="For how many days it must be valid yet.")

    def measure(self, place: Place) -> Sample:
        host = place.filled(self.host)
        where = f"{host}:{self.port}"
        try:
            certificate = within(self.timeout_s, f"the handshake with {where}", lambda: self._handshake(host))
        except ssl.SSLCertVerificationError as error:
            return Sample(0, False, f"the certificate of {where} is refused: {error.verify_message}")
        except OSError as error:
            raise NotMeasured(f"no handshake with {where}: {error.strerror or error}") from error
        days = (ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) / _DAY
        good = days >= self.minimum_days
        least = "" if good else f", fewer than {self.minimum_days:g}"
        return Sample(0, good, f"the certificate of {where} is valid for {days:.1f} days{least}", value=round(days, 3))

    def _handshake(self, host: str) -> Mapping[str, Any]:
        """The certificate, which was verified."""
        context = ssl.create_default_context(cafile=self.ca_certificate)
        with (
            socket.create_connection((host, self.port), self.timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=self.server_name or host) as secured,
        ):
            return secured.getpeercert() or {}


SOURCE = Tls
