# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that record for one incident."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  incident:
    description: Number of the incident, C(INC-) and 4 to 8 digits.
    type: str
    required: true
  service:
    description: Service of the catalogue.
    type: str
    required: true
  environment:
    description: One of V(dev), V(staging), V(canary) and V(production).
    type: str
    required: true
"""
