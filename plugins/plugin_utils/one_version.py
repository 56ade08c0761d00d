# Copyright: the Responder maintainers
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collection and library are both there, and of one version: an older copy that shadows the installed collection acts no more.

Every plugin imports this before anything of the library, so a missing library is one sentence and no traceback.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from ansible.errors import AnsibleError

HERE = Path(__file__).resolve().parents[2]


def _version() -> str:
    """What MANIFEST.json of an installed collection says, or galaxy.yml of a checkout."""
    try:
        manifest = json.loads((HERE / "MANIFEST.json").read_text(encoding="utf-8"))
        return str(manifest["collection_info"]["version"])
    except FileNotFoundError:
        return str(yaml.safe_load((HERE / "galaxy.yml").read_text(encoding="utf-8"))["version"])


try:
    import sre_responder
    from sre_responder.errors import Refused
except ModuleNotFoundError as error:
    if error.name != "sre_responder":
        raise
    install = f"{sys.executable} -m pip install sre-responder=={_version()}"
    raise AnsibleError(f"sre.responder needs its Python library, which is not installed here: {install}") from None


def require_one_version() -> None:
    """Refused where this collection does not belong to the library that it calls."""
    try:
        found = _version()
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        found = "of no known version"
    if found != sre_responder.__version__:
        raise Refused(
            f"the collection in {HERE} is {found}, the library is {sre_responder.__version__}; nothing was changed.",
            cure="Install one version: `pip install sre-responder`, and remove other copies of the collection.",
        )
