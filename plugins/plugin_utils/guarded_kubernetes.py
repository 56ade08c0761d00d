# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard with the client library of Kubernetes: the main process loads both once, and the fork of every task has them."""

from __future__ import annotations

import contextlib

from ansible_collections.sre.responder.plugins.action.guarded import ActionModule

with contextlib.suppress(ModuleNotFoundError):  # the effect says what to install
    # pylint: disable-next=unused-import
    import kubernetes.client

    # pylint: disable-next=unused-import
    import kubernetes.config  # noqa: F401 - for who forks

__all__ = ["ActionModule"]
