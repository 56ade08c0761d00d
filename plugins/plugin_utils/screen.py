# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a terminal shows of a step under plain ansible-playbook. The result of the task keeps everything.

Ansible prints the message of a failed task, and then its whole result as JSON: for a refusal that is every gate with its facts.
Its callbacks run in the main process, which loads this with the first of our action plugins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

from sre_responder.errors import ResponderError


def _shortened(dump: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(dump)
    def dumped(callback: CallbackBase, result: Mapping[str, Any], *more: Any, **options: Any) -> Any:
        """What `failure` made has said all in its message; `-v` shows the rest, and so do other callbacks than the default one."""
        plain = callback.CALLBACK_NAME == "default" and not callback._display.verbosity
        shown = {"code": result["code"]} if plain and result.keys() >= {"code", "cure"} else result
        return dump(callback, shown, *more, **options)

    return dumped


if hasattr(CallbackBase, "_dump_results"):  # Ansible's own name, which may change: then all is printed
    CallbackBase._dump_results = _shortened(CallbackBase._dump_results)


def failure(error: ResponderError) -> AnsibleActionFail:
    """The error as Ansible's, with all its facts in the result."""
    result = {"code": error.code, "cure": error.cure, "exit_code": error.exit_code, **error.details}
    return AnsibleActionFail(str(error), result=result)


def tell_skip(result: Mapping[str, Any]) -> None:
    """Why a step is left out; Ansible says so with `-v` alone."""
    if result.get("skipped") and not Display().verbosity:
        Display().display(f"  {result['msg']}", color="cyan")
