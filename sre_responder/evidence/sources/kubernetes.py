"""One sample of a workload on Kubernetes: how many pods serve, how many fail, how often they were restarted of late."""

from __future__ import annotations

import time
from typing import Literal

import jmespath
from pydantic import Field

from sre_responder.errors import ResponderError
from sre_responder.model.actions import KUBERNETES
from sre_responder.model.expression import Expression
from sre_responder.model.look import Look, NotMeasured, Place, Sample

EXPECT = "rolled_out && available >= desired && failing == `0` && restarts == `0` && endpoints != `0`"
"""What is good where the criterion does not say: everything wanted serves and can be reached, and nothing was restarted within the window."""


class Kubernetes(Look):
    """The workload that the annotations name. One that cannot be read is not measured; that nothing is wanted of it is not health."""

    workload = True
    source: Literal["kubernetes"] = "kubernetes"
    expect: Expression | None = Field(
        None,
        description="JMESPath; good is exactly true. It may name desired, available, ready, rolled_out, failing, reasons, restarts, "
        "endpoints, events.",
    )
    window_s: float = Field(60.0, gt=0, description="How far back a restart counts.")

    def missing(self, place: Place) -> str | None:
        named = KUBERNETES["namespace"]
        return None if named in place.annotations else f"no workload: the annotation {named} is not set"

    def measure(self, place: Place) -> Sample:
        from sre_responder.evidence.workload import read  # here, for the client is slow to import, and many need none

        where = {name: place.annotations[key] for name, key in KUBERNETES.items() if key in place.annotations}
        began, expect = time.monotonic(), self.expect or EXPECT
        try:
            facts = read(where, self.window_s, asked=expect)
            value = jmespath.search(expect, facts)
        except (ResponderError, jmespath.exceptions.JMESPathError) as error:
            raise NotMeasured(str(error)) from error
        latency = (time.monotonic() - began) * 1000
        if facts["desired"] == 0:
            nothing = f"{facts['workload']} is scaled to zero: nothing can be measured"
            return Sample(0, None, nothing, latency_ms=latency)
        if not isinstance(value, bool):
            return Sample(0, None, f"{expect} gave {value!r}, neither true nor false", latency_ms=latency, value=value)
        counted = ", ".join(f"{name} {facts[name]}" for name in ("desired", "available", "failing", "restarts"))
        notes = [*(() if facts["rolled_out"] else ("not rolled out",)), *facts["reasons"]]
        if facts.get("endpoints") == 0:
            notes.append("no endpoint of its Service is ready")
        reason = f"{facts['workload']}: {counted}" + (f" ({'; '.join(notes)})" if notes else "")
        return Sample(0, value, reason, latency_ms=latency, value=value)


SOURCE = Kubernetes
