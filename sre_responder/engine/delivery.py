"""Sending what waits without waiting for it: where no driver will, in a plain ansible-playbook."""

from __future__ import annotations

import os
import subprocess
import sys

from sre_responder.errors import ResponderError
from sre_responder.home import Home
from sre_responder.ledger import Ledger, outbox
from sre_responder.notify.channels.file import File
from sre_responder.notify.channels.terminal import Terminal
from sre_responder.notify.deliver import deliver
from sre_responder.system.prove import MARK, PLAY_MARK


def send_soon(home: Home) -> None:
    """Start a process of its own that delivers the outbox, and a stop to the clusters. It bears no mark of the run, so ending the run spares it."""
    try:
        if not home.policy.notifications and not home.policy.stop.clusters:
            return
    except ResponderError:  # a policy that cannot be read names nobody to tell
        return
    environ = {name: value for name, value in os.environ.items() if name not in (MARK, PLAY_MARK)}
    subprocess.Popen(
        [sys.executable, "-m", "sre_responder.cli", "deliver"], env=environ, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def tell_soon(home: Home, ledger: Ledger) -> None:
    """Deliver what waits, beside this process where that needs the network: who stops something waits for no receiver."""
    channels = home.policy.notifications
    if all(isinstance(channel, (Terminal, File)) for channel in channels):
        outbox.deliver(ledger, channels, deliver)
    else:
        send_soon(home)
