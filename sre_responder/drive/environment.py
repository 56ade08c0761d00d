"""What of the caller's environment reaches Ansible: what platforms' own tools read, and nothing that loads code."""

from __future__ import annotations

import os
import pwd
import re
import site
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sre_responder.drive.vault import VAULT, vault_of
from sre_responder.home import Home
from sre_responder.system.proxies import past_proxies

_KEPT = frozenset([
    "HOME", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "SUDO_USER", "TERM", "TZ", "USER", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
])  # fmt: skip
_CERTIFICATES = frozenset(["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
_LANGUAGE = frozenset(["LANG", "LANGUAGE", "TZ"])
_PROXIES = frozenset(["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"])
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
_PLATFORMS = ("PG", "KUBE", "AWS_", "AZURE_", "ARM_", "GOOGLE_", "CLOUDSDK_", "OCI_", "KRB5")


def inherited(environ: Mapping[str, str], home: Home) -> dict[str, str]:
    """The caller's variables that a run gets, and where its vault password stands: as the home says, else as the caller does.

    Its locale is none of them: a run speaks C.UTF-8 whoever starts it, since a locale that is not installed, or is not UTF-8,
    ends Ansible, and what programs say in it would differ from run to run.
    """
    more = (*home.policy.ansible.environment, *home.variables)
    kept = {name: value for name, value in environ.items() if _reaches(name, more)}
    kept |= past_proxies(kept)
    if named := home.vault_password_file:
        kept[VAULT] = str(named)
    else:
        kept |= vault_of(environ)
    places = f"{home.collections}:/usr/share/ansible/collections"
    return {**kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "ANSIBLE_COLLECTIONS_PATH": places, **_isolated()}


def risky(environment: Any) -> list[str]:
    """The variables of a play's `environment`, a mapping or a list of them, that could choose what code runs in a guarded task.

    Proxies, certificates, accounts of platforms, languages and time zones cannot. What is still a template holds no name yet.
    """
    parts = environment if isinstance(environment, list) else [environment]
    names = {str(name) for part in parts if isinstance(part, Mapping) for name in part}
    return sorted(name for name in names if not (_reads(name) or name in _LANGUAGE or name.startswith("LC_")))


def _reads(name: str) -> bool:
    """Whether it is one that the tools of platforms read."""
    return name in _CERTIFICATES or name.upper() in _PROXIES or name.startswith(_PLATFORMS)


def secrets(environ: Mapping[str, str], more: Iterable[str] = ()) -> list[str]:
    """Values that may not be shown: those whose name says so, and those of `more`. A path to a secret is none."""
    found = {value for name, value in environ.items() if name in more or _SECRET.search(name)}
    return sorted((value for value in found if len(value) >= 6 and not value.startswith("/")), key=len, reverse=True)


def _reaches(name: str, more: Iterable[str]) -> bool:
    if _reads(name) or name in _KEPT or name.startswith("RESPONDER_"):
        return True
    return any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in more)


def _isolated() -> dict[str, str]:
    """Without the packages of the user's own folder, unless Responder is one of them."""
    ours = Path(__file__).is_relative_to(site.getusersitepackages())
    return {} if ours else {"PYTHONNOUSERSITE": "1"}


def writable_home(named: str | None, folder: Path) -> str:
    """The home of a run: `named`, else the account's; where nobody may write into it, a new one in `folder` with links to all it has.

    Ansible and the tools of platforms keep caches and sockets there.
    """
    if not named:
        with suppress(KeyError):
            named = pwd.getpwuid(os.getuid()).pw_dir
    given = Path(named or "/nonexistent")
    if os.access(given, os.W_OK | os.X_OK):
        return str(given)
    made = folder / "home"
    made.mkdir()
    with suppress(OSError):
        for entry in given.iterdir():
            if entry.name != ".ansible":
                (made / entry.name).symlink_to(entry.absolute())
    return str(made)
