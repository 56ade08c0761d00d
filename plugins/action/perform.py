# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.
"""The guard under the module's own name: by it the main process loads the guard once, before it forks."""

from __future__ import annotations

from ansible_collections.sre.responder.plugins.action.guarded import ActionModule

__all__ = ["ActionModule"]
