#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: route53_failover
short_description: Move all traffic of a name in Route 53 to one weighted record
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Sets the weight of every other record of the name to 0, in one change that is made whole or not at all, and waits until it is INSYNC.
  - The success criterion is measured once the TTL of the former answer has passed too.
  - 'The record keeps its weight; one of 0 gets that of all together. Those of weight 0 stay: Route 53 answers with them again if the health check
    of every other fails.'
  - The side that takes the traffic must be healthy by its health check, by O(probe_url), or by both; unknown is refused.
  - Records of any other routing are refused.
  - Needs boto3, as C(sre-responder[aws]) brings it.
extends_documentation_fragment:
  - sre.responder.guarded
  - sre.responder.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  mutates:
    support: full
  undo:
    support: full
    details: The undo playbook is written before anything changes.
  guard:
    support: full
    details: Rung 4.
options:
  zone:
    description:
      - Id of the hosted zone, or its name where only one zone of the account has that.
      - Default is the annotation C(responder/route53-zone) of the service.
      - One of both is needed.
    type: str
  record:
    description:
      - Name of the weighted records, whole, such as C(www.example.com).
      - Default is the annotation C(responder/route53-record) of the service.
      - One of both is needed.
    type: str
  type:
    description:
      - Type of the records, such as C(A). Without it those of every type are moved, in one change.
      - Default is the annotation C(responder/route53-type) of the service.
    type: str
  to:
    description:
      - Identifier (C(SetIdentifier)) of the record that takes all traffic.
      - Default is the annotation C(responder/route53-to) of the service.
      - One of both is needed.
    type: str
  probe_url:
    description:
      - Address that only that side answers, with 2xx if it is healthy. Needed where its record has no health check of Route 53 that tells.
      - Default is the annotation C(responder/route53-probe-url) of the service.
    type: str
  profile:
    description:
      - 'Profile of AWS''s configuration files. Without it boto3 looks for credentials in its own order: environment, files, SSO, instance role.'
      - Default is the annotation C(responder/route53-profile) of the service.
    type: str
  region:
    description:
      - Region, where the partition of AWS is not the common one, such as C(cn-north-1).
      - Default is the annotation C(responder/route53-region) of the service.
    type: str
  endpoint_url:
    description:
      - Address of the API, where it is not AWS's public one.
      - Default is the annotation C(responder/route53-endpoint-url) of the service.
    type: str
  timeout_s:
    description:
      - How long to wait until all name servers of Route 53 have the change, in seconds.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Move checkout to the west
  sre.responder.route53_failover:
    incident: INC-1234
    service: checkout
    environment: staging
    zone: example.com
    record: checkout.example.com
    to: west
"""

RETURN = r"""
before:
  description: State that identifies the target before the action.
  returned: when planned
  type: dict
after:
  description: State after the action as read back; in check mode as predicted.
  returned: when planned
  type: dict
outcome:
  description: What the runbook's evidence said after the action; null in check mode and for all but the last host.
  returned: always
  type: str
  sample: improved
undone:
  description: Whether the action was undone at once, because things were no better.
  returned: with an outcome
  type: bool
skip_reason:
  description: Why nothing was done (V(healthy), V(tried), V(not_applicable) or V(handed_over)).
  returned: when skipped
  type: str
guard:
  description: The decision with every gate.
  returned: when asked
  type: dict
  contains:
    decision:
      description: Either V(allowed) or V(refused).
      returned: always
      type: str
    plan:
      description: SHA-256 of the plan.
      returned: always
      type: str
    attempt:
      description: Number of the attempt; null where refused.
      returned: always
      type: int
    gates:
      description: The verdict of every gate.
      returned: always
      type: list
      elements: dict
      contains:
        name:
          description: Name of the gate.
          returned: always
          type: str
        status:
          description: One of V(passed), V(failed), V(unknown) and V(skipped); failed and unknown block.
          returned: always
          type: str
        reason:
          description: Why, in words.
          returned: always
          type: str
        evidence:
          description: The facts that the gate looked at.
          returned: always
          type: dict
        clears_by:
          description: Who or what can clear it; null where it does not block.
          returned: always
          type: str
        clears_at:
          description: When it clears by itself; null where it does not.
          returned: always
          type: str
        command:
          description: The command to type; null where there is none.
          returned: always
          type: str
"""

from ansible.module_utils.basic import AnsibleModule

ARGUMENT_SPEC = {
    "incident": {"type": "str"},
    "service": {"type": "str"},
    "environment": {"type": "str"},
    "applies": {"type": "bool", "default": True},
    "because": {"type": "str"},
    "confirm_production": {"type": "bool", "default": False},
    "if_worse": {"type": "str", "choices": ["undo", "rollback", "hand_over"], "default": "undo"},
    "zone": {"type": "str"},
    "record": {"type": "str"},
    "type": {"type": "str"},
    "to": {"type": "str"},
    "probe_url": {"type": "str"},
    "profile": {"type": "str"},
    "region": {"type": "str"},
    "endpoint_url": {"type": "str"},
    "timeout_s": {"type": "float", "default": 120.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="route53_failover runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
