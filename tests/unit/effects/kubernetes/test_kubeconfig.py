"""What is wrong with a kubeconfig, its certificates or its plugin: one sentence each, with the cure."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sre_responder.effects.kubernetes.api import Resource, connect
from sre_responder.effects.kubernetes.kubeconfig import expired, heard
from sre_responder.errors import EffectFailed, InputError

NAMESPACE = Resource("Namespace", "", "shop")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of whoever runs the tests is found."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def config(tmp_path: Path, *, server: str = "https://127.0.0.1:1", user: Any = None, **cluster: Any) -> str:
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "test", "user": user or {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": "test", "user": "test"}} for name in ("test", "other")],
    }))  # fmt: skip
    return str(file)


def written(tmp_path: Path, text: str) -> str:
    (tmp_path / "kubeconfig").write_text(text)
    return str(tmp_path / "kubeconfig")


WRONG = {
    "no file": (lambda at: {"kubeconfig": str(at / "none")}, "the kubeconfig /.*/none does not exist.*responder/kubeconfig"),
    "nothing is set": (lambda at: {}, "neither responder/kubeconfig nor KUBECONFIG is set, and the kubeconfig /.*/.kube/config"),
    "a folder": (lambda at: {"kubeconfig": str(at)}, "cannot be read: Is a directory"),
    "a context that is not there": (
        lambda at: {"kubeconfig": config(at), "context": "prod"}, "context 'prod' is not in .*; it has other, test",
    ),
    "no current context": (
        lambda at: {"kubeconfig": written(at, yaml.safe_dump({**yaml.safe_load(Path(config(at)).read_text()), "current-context": ""}))},
        "has no current context, and none is named; it has other, test",
    ),
    "an empty file": (lambda at: {"kubeconfig": written(at, "")}, "is not a kubeconfig"),
    "no YAML": (lambda at: {"kubeconfig": written(at, "{a: [")}, "is not a kubeconfig"),
    "a list": (lambda at: {"kubeconfig": written(at, "[1]")}, "is not a kubeconfig"),
    "not text": (lambda at: {"kubeconfig": written(at, "contexts: 7")}, "is not a kubeconfig"),
    "a certificate that is not where it says, from its own folder": (
        lambda at: {"kubeconfig": config(at, **{"certificate-authority": "tls/ca.crt"})},
        "File does not exist: /.*/tls/ca.crt.*relative paths in it start from its own folder",
    ),
    "a token file that is not there": (
        lambda at: {"kubeconfig": config(at, user={"tokenFile": "token"})}, "cannot be used.*token",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_kubeconfig_that_cannot_be_used_is_one_sentence_with_its_cure(case: str, tmp_path: Path) -> None:
    make, words = WRONG[case]
    with pytest.raises(InputError, match=words) as error:
        connect(make(tmp_path))
    assert error.value.message.startswith("no cluster is known: ") and error.value.cure
    assert "\n" not in str(error.value)


def test_a_certificate_beside_its_kubeconfig_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "ca", datetime.now(UTC) + timedelta(days=1))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    api = connect({"kubeconfig": config(tmp_path, **{"certificate-authority": "ca.crt"})})
    assert api.configuration.ssl_ca_cert == str(tmp_path / "ca.crt")


def plugin(tmp_path: Path, text: str) -> str:
    program = tmp_path / "get-token"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o700)
    return config(tmp_path, user={"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}})


TRACEBACK = 'Traceback (most recent call last):\n  File "aws.py", line 1\nNoCredentials: no profile is set'
PLUGINS = {
    "its own error": ("echo 'Unable to locate credentials. Run login.' >&2; exit 253", "253. Unable to locate credentials. Run login"),
    "no traceback": (f"cat >&2 <<'END'\n{TRACEBACK}\nEND\nexit 1", "process returned 1. NoCredentials: no profile is set"),
    "no word": ("exit 1", "exec: process returned 1"),
    "no JSON": ("echo hello", "failed to decode process output"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLUGINS)
def test_a_plugin_that_has_no_credentials_is_told_in_its_own_words(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text, words = PLUGINS[case]
    with pytest.raises(EffectFailed) as error:
        connect({"kubeconfig": plugin(tmp_path, text)})
    assert words in error.value.message and "File" not in error.value.message
    assert "AWS_PROFILE" in error.value.cure
    assert capfd.readouterr() == ("", "")


def test_a_plugin_is_told_in_its_own_words_at_a_terminal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(EffectFailed, match=r"process returned 253\. Unable to locate credentials"):
        connect({"kubeconfig": plugin(tmp_path, "echo 'Unable to locate credentials' >&2; exit 253")})


def test_a_plugin_that_is_not_installed_is_named(tmp_path: Path) -> None:
    called = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}
    with pytest.raises(EffectFailed, match="no-such-plugin"):
        connect({"kubeconfig": config(tmp_path, user={"exec": called})})


def test_only_what_the_library_says_of_credentials_in_this_thread_is_heard() -> None:
    import logging

    with heard() as errors:
        logging.getLogger("other").error("x")
    assert errors == []


def made(folder: Path, name: str, until: datetime, host: str = "127.0.0.1") -> Path:
    """A certificate and its key, signed by itself."""
    key, subject = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]),
    )
    built = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(until - timedelta(days=3)).not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    (folder / f"{name}.crt").write_bytes(built.public_bytes(Encoding.PEM))
    return folder / f"{name}.crt"


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An API server with a certificate that is wrong in the way of the parameter."""
    days, host = request.param
    certificate = made(tmp_path, "server", datetime.now(UTC) + timedelta(days=days), host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "server.key")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listening.accept()
            with connection, context.wrap_socket(connection, server_side=True):
                pass
        except OSError:
            pass  # the client hung up, as it should

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listening.getsockname()[1]}"
    thread.join(5)
    listening.close()


@pytest.mark.parametrize(("server", "known", "words"), [
    ((-1, "127.0.0.1"), True, "not valid now.*clock"),
    ((1, "127.0.0.2"), True, "for another name.*tls-server-name"),
    ((1, "127.0.0.1"), False, "not of an authority that the kubeconfig names.*certificate-authority"),
], indirect=["server"])  # fmt: skip
def test_a_server_that_is_not_trusted_says_why_and_what_to_correct(
    server: str, known: bool, words: str, tmp_path: Path
) -> None:
    authority = tmp_path / "server.crt" if known else made(tmp_path, "other", datetime.now(UTC) + timedelta(days=1))
    api = connect({"kubeconfig": config(tmp_path, server=server, **{"certificate-authority": str(authority)})})
    with pytest.raises(EffectFailed, match=f"is not trusted: its certificate is {words}"):
        api.get(NAMESPACE)


def test_a_client_certificate_that_expired_is_seen(tmp_path: Path) -> None:
    until = datetime.now(UTC) - timedelta(hours=1)
    assert expired(str(made(tmp_path, "old", until))) == f"{until:%Y-%m-%d %H:%M} UTC"
    assert expired(str(made(tmp_path, "new", datetime.now(UTC) + timedelta(days=1)))) is None
    assert expired(None) is None and expired(os.devnull) is None
