#!/usr/bin/python
# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by scripts/generate from sre_responder/effects; change it there.

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_clear
short_description: Delete the keys of one pattern from a Redis database
version_added: 0.1.0
author: Responder maintainers (@sre-responder)
description:
  - Looks for the keys with C(SCAN) and deletes them with C(UNLINK), some hundred at a time; never with C(FLUSHDB) or C(FLUSHALL).
  - The plan counts them, and says which share of the database and about how much memory they are. Names of keys are not recorded.
  - The user of Redis needs C(+info +select +scan +unlink +multi +discard) and the keys; C(+memory|usage) for the estimate of memory.
  - A server must know C(UNLINK), as Redis does since 4.0, and Valkey.
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
    support: none
    details: Deleted keys are gone; a cache fills again from its origin.
  guard:
    support: full
    details: Rung 1.
options:
  url:
    description:
      - Address of the database, C(redis://host:port/database); C(rediss://) for TLS.
      - C(redis+sentinel://host:port,host:port/PRIMARY/database) asks these Sentinels for the primary of that name.
      - A replica, a node of a cluster and an address that contains a login are refused.
      - Default is the annotation C(responder/redis-url) of the service.
      - One of both is needed.
    type: str
  pattern:
    description:
      - Pattern of the keys, as C(SCAN) takes it, such as V(session:*); a backslash before C(*), C(?), C([) or C(\\) means the character.
      - One without a letter or a digit, such as V(*), is refused unless O(whole_database) is set.
      - Default is the annotation C(responder/redis-pattern) of the service.
      - One of both is needed.
    type: str
  limit:
    description:
      - How many keys may be deleted at most. Where more match, nothing is planned; where more appear, the act stops and says how many it deleted.
    type: int
    default: 10000
  whole_database:
    description:
      - Number of the database, the same as in O(url), of which a pattern may match every key.
    type: int
  username:
    description:
      - User of Redis, where it has users.
    type: str
  password:
    description:
      - Password of that user, or of Redis. It never stands in plan, record or output.
    type: str
  sentinel_password:
    description:
      - Password of the Sentinels' default user, where they ask for one.
    type: str
  ca_certificate:
    description:
      - PEM file of the authorities that sign the server's certificate. Default is those that this machine trusts.
    type: path
  client_certificate:
    description:
      - PEM file of the certificate that the server asks for.
    type: path
  client_key:
    description:
      - PEM file of its key.
    type: path
  timeout_s:
    description:
      - How long planning and the act may each take, in seconds.
    type: float
    default: 20.0
"""

EXAMPLES = r"""
- name: Clear the rendered pages
  sre.responder.redis_clear:
    incident: INC-1234
    service: checkout
    environment: staging
    url: redis://cache.internal:6379/0
    pattern: page:*
- name: Clear them on the primary that Sentinels know
  sre.responder.redis_clear:
    incident: INC-1234
    service: checkout
    environment: staging
    url: redis+sentinel://one:26379,two:26379,three:26379/cache/0
    pattern: page:*
    limit: 50000
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
    "url": {"type": "str"},
    "pattern": {"type": "str"},
    "limit": {"type": "int", "default": 10000},
    "whole_database": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "sentinel_password": {"type": "str", "no_log": True},
    "ca_certificate": {"type": "path"},
    "client_certificate": {"type": "path"},
    "client_key": {"type": "path"},
    "timeout_s": {"type": "float", "default": 20.0},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    module.fail_json(
        msg="redis_clear runs through its action plugin only. Install the collection whole; nothing was changed."
    )


if __name__ == "__main__":
    main()
