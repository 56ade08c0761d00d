# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard under the module's own name, and the client library with it: both are loaded once, not by the fork of every task."""

from __future__ import annotations

import contextlib

from ansible_collections.sre.responder.plugins.action.guarded import ActionModule

with contextlib.suppress(ModuleNotFoundError):  # the effect says what to install
    import kubernetes.client
    import kubernetes.config  # noqa: F401

__all__ = ["ActionModule"]
