"""The kubeconfig and the credentials that it names: read by the client library, each fault told in one sentence with its cure."""

from __future__ import annotations

import io
import logging
import os
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import getproxies

import yaml

from sre_responder.errors import EffectFailed, InputError
from sre_responder.model.address import loopback
from sre_responder.model.names import shown
from sre_responder.system.files import opened

DEFAULT = "~/.kube/config"
IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
ANNOTATIONS = "responder/kubeconfig and responder/kubernetes-context"
EXPIRED, OTHER_NAME = (9, 10), (62, 64)
"""OpenSSL's codes: not valid at this time; not for this host name or address."""
_NO_TERMINAL = SimpleNamespace(platform=sys.platform, stdin=None, stdout=io.StringIO(), stderr=None)
"""What the client library sees as `sys` when it runs a credential plugin: at a terminal it would lose the plugin's error."""


def client_of(file: str | None, context: str | None) -> Any:
    """A client of the client library with the credentials as they are now; inside a pod, if nothing is named, of its own cluster.

    InputError if the kubeconfig cannot be used, EffectFailed if the program that it names for credentials gives none.
    """
    try:
        from kubernetes import client, config
        from kubernetes.config import exec_provider
    except ModuleNotFoundError as error:
        raise InputError(
            "Kubernetes needs the package kubernetes.", cure="pip install 'sre-responder[kubernetes]'"
        ) from error

    exec_provider.sys = _NO_TERMINAL  # type: ignore[assignment, attr-defined]
    if not file and not context and not os.environ.get("KUBECONFIG") and IN_CLUSTER in os.environ:
        settings = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise InputError(
                f"no cluster is known: this pod has no service account: {shown(error)}.",
                cure="Mount its token (automountServiceAccountToken), or set responder/kubeconfig.",
            ) from error
        return client.ApiClient(settings)
    named = file or os.environ.get("KUBECONFIG") or DEFAULT
    _check(named, context, given=bool(file or os.environ.get("KUBECONFIG")))
    try:
        with heard() as errors:
            made = config.new_client_from_config(config_file=named, context=context, persist_config=False)
    except (config.ConfigException, OSError) as error:  # among them a certificate or token file that is missing
        raise InputError(
            f"no cluster is known: the kubeconfig {shown(named)} cannot be used: {shown(error, 300)}.",
            cure="Correct it; relative paths in it start from its own folder. Try `kubectl config view --minify`.",
        ) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _malformed(named, error) from error
    if errors:
        raise EffectFailed(
            f"no credentials for the cluster of {shown(named)}: {errors[0]}.",
            cure="Log in again, or give the program what it needs (such as AWS_PROFILE); try `kubectl auth whoami`.",
        )
    settings = made.configuration
    if loopback(str(settings.host)) and settings.proxy and settings.proxy in getproxies().values():
        settings.proxy = None  # as kubectl does; a proxy-url of the kubeconfig is meant
        made = client.ApiClient(settings)
    return made


def server(file: str | None, context: str | None) -> str | None:
    """The address of the API server to which they lead; None where no file tells it. Nothing is asked, and no program is run."""
    if not file and not context and not os.environ.get("KUBECONFIG") and IN_CLUSTER in os.environ:
        return f"https://{os.environ[IN_CLUSTER]}:{os.environ.get('KUBERNETES_SERVICE_PORT', '443')}"
    contexts: dict[str, Any] = {}
    clusters: dict[str, Any] = {}
    chosen = context
    try:
        for path in _paths(file or os.environ.get("KUBECONFIG") or DEFAULT):
            content = _content(path)
            chosen = context or content.get("current-context") or chosen
            for known, name in ((contexts, "context"), (clusters, "cluster")):
                known |= {entry["name"]: entry[name] for entry in content.get(f"{name}s") or ()} | known
        return str(clusters[contexts[chosen or ""]["cluster"]]["server"])
    except (InputError, KeyError, TypeError, AttributeError):
        return None


def _paths(named: str) -> list[Path]:
    """The files of a list that exist."""
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return [path for path in paths if path.exists()]


def _check(named: str, context: str | None, *, given: bool) -> None:
    """InputError if no file is there, if one is no kubeconfig, or if the context is in none of them."""
    found = _paths(named)
    if not found:
        missing = ", ".join(shown(Path(part).expanduser().absolute()) for part in named.split(os.pathsep) if part)
        where = f"the kubeconfig {missing} does not exist"
        reason = where if given else f"neither responder/kubeconfig nor KUBECONFIG is set, and {where}"
        raise InputError(f"no cluster is known: {reason}.", cure=f"Correct {ANNOTATIONS} of the service.")
    contexts: dict[str, Any] = {}
    chosen = context
    for path in found:
        content = _content(path)
        contexts |= {entry["name"]: entry for entry in content.get("contexts") or ()}
        chosen = context or content.get("current-context") or chosen
    if not chosen:
        raise InputError(
            f"no cluster is known: {shown(named)} has no current context, and none is named; it has {_listed(contexts)}.",
            cure="Set responder/kubernetes-context of the service, or `kubectl config use-context`.",
        )
    if chosen not in contexts:
        raise InputError(
            f"no cluster is known: context '{shown(chosen)}' is not in {shown(named)}; it has {_listed(contexts)}.",
            cure="Correct responder/kubernetes-context of the service, or `kubectl config use-context`.",
        )


def _content(path: Path) -> dict[str, Any]:
    try:
        with opened(path) as file:
            content = yaml.safe_load(file)
        if isinstance(content, dict) and all("name" in entry for entry in content.get("contexts") or ()):
            return content
    except OSError as error:
        raise InputError(
            f"no cluster is known: the kubeconfig {shown(path)} cannot be read: {error.strerror}.",
            cure="Give this account the right to read it.",
        ) from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _malformed(str(path), error) from error
    raise _malformed(str(path), "it has no list of contexts")


def _malformed(named: str, error: object) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(
        f"no cluster is known: {shown(named)} is not a kubeconfig: {shown(reason, 200)}.",
        cure=f"Try `kubectl config view --kubeconfig {shown(named)}`.",
    )


def _listed(contexts: dict[str, Any]) -> str:
    return ", ".join(shown(name) for name in sorted(map(str, contexts))) or "none"


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the client library logs about credentials that it could not get, which it raises for nobody."""
    errors: list[str] = []
    handler = _Listener(errors)
    logging.getLogger().addHandler(handler)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(handler)


class _Listener(logging.Handler):
    def __init__(self, errors: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.errors, self.listens = errors, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "kube_config" and record.thread == self.listens:
            self.errors.append(_words(record.getMessage()))


def _words(message: str) -> str:
    """A program's error without its traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if any("Traceback (most recent call last)" in line for line in lines):
        first = lines[0].partition("Traceback (most recent call last)")[0].rstrip()
        lines = [word for word in (first, lines[-1]) if word]
    return str(shown(" ".join(lines), 500)).rstrip(".")


def untrusted(error: BaseException) -> tuple[str, str] | None:
    """Why the server's certificate is not accepted, and the cure; None if that is not what is wrong."""
    causes = (error, *error.args, error.__cause__, getattr(error, "reason", None))
    found = next((one for one in causes if isinstance(one, ssl.SSLCertVerificationError)), None)
    if found is None:
        return None
    if found.verify_code in EXPIRED:
        return (
            f"its certificate is not valid now ({found.verify_message})",
            "Renew it, or correct this machine's clock.",
        )
    if found.verify_code in OTHER_NAME:
        return (
            f"its certificate is for another name ({found.verify_message})",
            "Correct the server in the kubeconfig, or set tls-server-name there.",
        )
    return (
        f"its certificate is not of an authority that the kubeconfig names ({found.verify_message})",
        "Correct certificate-authority of the cluster in the kubeconfig.",
    )


def expired(certificate: str | None) -> str | None:
    """When a client certificate expired; None if it did not, or cannot be read."""
    if not certificate:
        return None
    try:
        from cryptography import x509

        until = x509.load_pem_x509_certificate(Path(certificate).read_bytes()).not_valid_after_utc
    except (ImportError, OSError, ValueError):
        return None
    return f"{until:%Y-%m-%d %H:%M} UTC" if until < datetime.now(UTC) else None
