"""The login of a connection to an HTTP source: what is sent, to whom, and that it is never shown."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from sre_responder.evidence.fetch import Login, fetch
from sre_responder.evidence.looks import taken
from sre_responder.evidence.series import TenantLogin
from sre_responder.evidence.sources.http import Http
from sre_responder.evidence.sources.tls import Tls
from sre_responder.model.look import NotMeasured, Place
from sre_responder.system.secret import Secret

Heard = list[dict[str, str]]


@pytest.fixture
def listener() -> Iterator[Callable[..., tuple[str, Heard]]]:
    """`listener(context)` is the address of a server, with TLS if a context is given, and the headers that it hears."""
    with ExitStack() as running:

        def start(context: ssl.SSLContext | None = None) -> tuple[str, Heard]:
            heard: Heard = []

            class Answer(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    heard.append({name.lower(): value for name, value in self.headers.items()})
                    self.send_response(200)
                    self.end_headers()

                def log_message(self, *_: object) -> None:
                    """Quiet."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
            if context:
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            running.callback(server.server_close)
            running.callback(server.shutdown)
            return f"http{'s' if context else ''}://127.0.0.1:{server.server_port}", heard

        yield start


@pytest.fixture
def word(monkeypatch: pytest.MonkeyPatch) -> Secret:
    monkeypatch.setenv("PROBE_WORD", "wh1sper")
    return Secret(env="PROBE_WORD")


def certificate(folder: Path, days: int = 30) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


def serving(pair: tuple[Path, Path], *, mutual: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pair[0])
    return context


def test_a_bearer_token_a_tenant_and_headers_are_sent(listener: Callable[..., Any], word: Secret) -> None:
    url, heard = listener()
    login = TenantLogin(url=url, token=word, tenant="team-a", headers={"X-Key": word, "X-Plain": "seen"})
    assert fetch(f"{url}/health", 5, login=login).status == 200
    wanted = {"authorization": "Bearer wh1sper", "x-scope-orgid": "team-a", "x-key": "wh1sper", "x-plain": "seen"}
    assert heard[0].items() >= wanted.items()


def test_a_password_is_sent_by_basic_authentication(listener: Callable[..., Any], word: Secret) -> None:
    url, heard = listener()
    fetch(url, 5, login=Login(url=url, username="ann", password=word))
    assert heard[0]["authorization"] == f"Basic {base64.b64encode(b'ann:wh1sper').decode()}"


def test_a_login_is_sent_to_no_other_address(listener: Callable[..., Any], word: Secret) -> None:
    (mine, _), (other, heard) = listener(), listener()
    place = Place("shop", "dev", {}, lambda *_: Login(url=mine, token=word))
    sample = taken("must", Http(url=f"{other}/health"), place).sample
    assert (sample.ok, heard) == (None, [])
    assert f"its login is not sent to {other}/health" in sample.reason


def test_a_probe_without_connection_sends_no_login(listener: Callable[..., Any]) -> None:
    url, heard = listener()
    assert taken("must", Http(url=url), Place("shop", "dev")).sample.ok is True
    assert "authorization" not in heard[0]


def test_a_secret_that_cannot_be_read_is_named_and_nothing_is_sent(listener: Callable[..., Any]) -> None:
    url, heard = listener()
    with pytest.raises(NotMeasured, match="the environment variable NO_SUCH_WORD holds no secret"):
        fetch(url, 5, login=Login(url=url, token=Secret(env="NO_SUCH_WORD")))
    assert not heard


def test_a_token_that_is_no_header_is_not_repeated(
    listener: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKEN_WORD", "wh1sper\r\nX-Other: 1")
    url, _ = listener()
    with pytest.raises(NotMeasured) as raised:
        fetch(url, 5, login=Login(url=url, token=Secret(env="BROKEN_WORD")))
    assert "wh1sper" not in str(raised.value)


def test_an_authority_of_its_own_is_trusted_and_no_other(listener: Callable[..., Any], pair: tuple[Path, Path]) -> None:
    url, _ = listener(serving(pair))
    assert fetch(url, 5, login=Login(url=url, ca_certificate=pair[0])).status == 200
    with pytest.raises(NotMeasured, match=r"certificate verify failed|CERTIFICATE_VERIFY_FAILED"):
        fetch(url, 5)


def test_a_client_certificate_is_shown_to_who_asks_for_it(
    listener: Callable[..., Any], pair: tuple[Path, Path]
) -> None:
    url, _ = listener(serving(pair, mutual=True))
    mutual = Login(url=url, ca_certificate=pair[0], client_certificate=pair[0], client_key=pair[1])
    assert fetch(url, 5, login=mutual).status == 200
    with pytest.raises(NotMeasured):
        fetch(url, 5, login=Login(url=url, ca_certificate=pair[0]))


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"nowhere\.pem"):
        fetch("https://127.0.0.1:1", 5, login=Login(url="https://127.0.0.1:1", ca_certificate=tmp_path / "nowhere.pem"))


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"url": "metrics.test"}, "does not start with http"),
        ({"url": "http://ann:s3cret@metrics.test"}, "contains a user name or password"),
        ({"url": "http://m", "username": "ann"}, "username and password stand together"),
        ({"url": "http://m", "username": "a", "password": {"env": "A"}, "token": {"env": "B"}}, "write one of them"),
        ({"url": "http://m", "client_key": "/k"}, "client_key needs client_certificate"),
    ],
)
def test_a_login_that_cannot_work_is_refused_where_it_is_read(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Login.model_validate(written)


@pytest.mark.parametrize(("days", "least", "ok"), [(30, 0, True), (30, 14, True), (5, 14, False), (-1, 0, False)])
def test_a_certificate_is_good_as_long_as_it_is_valid(
    tmp_path: Path, listener: Callable[..., Any], days: int, least: float, ok: bool
) -> None:
    pair = certificate(tmp_path, days)
    url, _ = listener(serving(pair))
    look = Tls(host="127.0.0.1", port=int(url.rpartition(":")[2]), ca_certificate=pair[0], minimum_days=least)
    sample = taken("must", look, Place("shop", "dev")).sample
    assert sample.ok is ok, sample.reason


def test_a_certificate_of_an_unknown_authority_is_bad_and_silence_is_not_measured(
    listener: Callable[..., Any], pair: tuple[Path, Path]
) -> None:
    url, _ = listener(serving(pair))
    unknown = taken("must", Tls(host="127.0.0.1", port=int(url.rpartition(":")[2])), Place("shop", "dev")).sample
    assert (unknown.ok, "is refused: self" in unknown.reason) == (False, True), unknown.reason
    assert taken("must", Tls(host="127.0.0.1", port=1), Place("shop", "dev")).sample.ok is None
