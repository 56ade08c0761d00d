# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attributes of every module, Ansible's own and Responder's."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what it would change, without changing anything.
  diff_mode:
    description: Returns what changes, or in check mode would change.
  mutates:
    description: Changes production; every such call is decided by the guard.
  undo:
    description: The state before can be restored.
  guard:
    description: Passes through the gates.
"""
