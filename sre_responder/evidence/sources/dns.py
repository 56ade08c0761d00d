"""A DNS probe: whether a name leads to the addresses that it should, as this machine resolves it."""

from __future__ import annotations

import ipaddress
import socket
from typing import Literal

from pydantic import Field, field_validator

from sre_responder.evidence.within import within
from sre_responder.model.look import Look, NotMeasured, Place, Sample

_NO_SUCH_NAME = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class Dns(Look):
    """One look-up. A name that does not exist, or leads elsewhere, is bad; a name server that does not answer is not measured."""

    source: Literal["dns"] = "dns"
    host: str = Field(min_length=1, description="$service, $environment and $NAME are filled in.")
    addresses: tuple[str, ...] = Field((), description="It must lead to these alone; without them, to any address.")

    @field_validator("addresses")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(one)) for one in value)

    def measure(self, place: Place) -> Sample:
        host = place.filled(self.host)
        try:
            answers = within(self.timeout_s, f"resolving {host}", lambda: socket.getaddrinfo(host, None))
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                return Sample(0, False, f"{host} does not exist")
            raise NotMeasured(f"{host} cannot be resolved: {error.strerror}") from error
        except UnicodeError:
            return Sample(0, False, f"{host} is not a name")
        found = {str(answer[4][0]) for answer in answers}
        told = f"{host} is {', '.join(sorted(found))}"
        strange = found - set(self.addresses) if self.addresses else set()
        return Sample(0, not strange, f"{told}, where {', '.join(self.addresses)} was meant" if strange else told)


SOURCE = Dns
