# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a registered runbook stands, for `import_playbook`."""

from __future__ import annotations

DOCUMENTATION = """
name: runbook
short_description: Path of a runbook that this home knows
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Gives the path of the playbook of a runbook, by its id, so that C(ansible.builtin.import_playbook) can run it.
options:
  _terms:
    description: Ids of runbooks, as C(responder runbooks) lists them.
    type: list
    elements: str
    required: true
"""

EXAMPLES = """
- name: Climb the ladder
  ansible.builtin.import_playbook: "{{ lookup('sre.responder.runbook', 'service-errors') }}"
"""

RETURN = """
_raw:
  description: Path of each runbook's playbook.
  type: list
  elements: path
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

# pylint: disable-next=unused-import
from ansible_collections.sre.responder.plugins.plugin_utils import one_version  # noqa: F401 - says how to install the library
from sre_responder import home
from sre_responder.errors import ResponderError


class LookupModule(LookupBase):
    """Reads the home; changes nothing."""

    def run(self, terms, variables=None, **kwargs):
        try:
            registry = home.find().runbooks
            return [str(registry.named(str(term)).playbook) for term in terms]
        except ResponderError as error:
            raise AnsibleError(str(error)) from error
