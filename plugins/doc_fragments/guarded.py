# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every guarded module."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  incident:
    description:
      - Number of the incident, C(INC-) and 4 to 8 digits.
      - Needed, as O(service) and O(environment) are. Give them once a play, in C(module_defaults) for C(group/sre.responder.guarded).
    type: str
  service:
    description: Service of the catalogue.
    type: str
  environment:
    description: One of V(dev), V(staging), V(canary) and V(production).
    type: str
  applies:
    description: V(false) records that this step does not apply, and skips it.
    type: bool
    default: true
  because:
    description: Why it does not apply; on the record.
    type: str
  if_worse:
    description:
      - What follows if things are no better afterwards by the runbook's criterion.
      - V(undo) restores the state before, where the action can be undone, and goes on with the next step. V(rollback) goes on with the next
        step that is a rollback. V(hand_over) takes no further step and calls a person.
    type: str
    choices: [undo, rollback, hand_over]
    default: undo
  confirm_production:
    description: Says that production is meant; without it O(environment=production) is refused.
    type: bool
    default: false
"""
