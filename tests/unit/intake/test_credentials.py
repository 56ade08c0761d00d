"""Who sent a request: only a valid token or signature names a sender."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from sre_responder.errors import InputError
from sre_responder.home.serving import Credential
from sre_responder.intake.credentials import MUTUAL_TLS, Keys, revealed

SECRET = "0123456789abcdef"
BODY = b'{"alerts": []}'
NOW = 1_800_000_000


def keys(tmp_path: Path, **credential: Any) -> Keys:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    by_file = {"file": str(tmp_path / "secret")}
    kind = credential.pop("kind", "hmac")
    return revealed([Credential.model_validate({"name": "pd", kind: by_file, **credential})], certificates=False)


def signature(body: bytes = BODY, key: str = SECRET) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("header", [f"Bearer {SECRET}", f"bearer {SECRET}", f"Bearer  {SECRET} "])
def test_the_right_token_names_its_credential(tmp_path: Path, header: str) -> None:
    assert keys(tmp_path, kind="token").sender({"authorization": header}, b"", NOW) == "pd"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", SECRET, f"Basic {SECRET}", f"Bearer {SECRET}x", "Bearer \xff"]
)
def test_any_other_token_names_nobody(tmp_path: Path, header: str) -> None:
    assert keys(tmp_path, kind="token").sender({"authorization": header}, b"", NOW) is None


@pytest.mark.parametrize("prefix", ["", "v1=", "sha256=", "v1=00, v1="])
def test_a_signature_of_the_body_names_its_credential(tmp_path: Path, prefix: str) -> None:
    signed = keys(tmp_path, header="X-PagerDuty-Signature")
    headers = {"x-pagerduty-signature": prefix + signature()}
    assert signed.signed(headers) and signed.sender(headers, BODY, NOW) == "pd"
    assert signed.sender(headers, BODY + b" ", NOW) is None


@pytest.mark.parametrize("value", ["", "v1=", "v1=v1=", signature(key="another key of it"), f"sha1={signature()}", "ÿ"])
def test_any_other_signature_names_nobody(tmp_path: Path, value: str) -> None:
    assert keys(tmp_path).sender({"x-responder-signature": value}, BODY, NOW) is None


@pytest.mark.parametrize(("age", "sender"), [(0, "pd"), (299, "pd"), (-299, "pd"), (301, None), (-301, None)])
def test_a_signature_with_a_time_is_valid_for_five_minutes(tmp_path: Path, age: int, sender: str | None) -> None:
    at = str(NOW - age)
    headers = {"x-responder-signature": signature(f"{at}:".encode() + BODY), "x-time": at}
    assert keys(tmp_path, timestamp_header="X-Time").sender(headers, BODY, NOW) == sender


@pytest.mark.parametrize("at", ["", "x", "9" * 400, "\u0661", "-1"])
def test_a_signature_whose_time_is_no_time_names_nobody(tmp_path: Path, at: str) -> None:
    headers = {"x-responder-signature": signature(f"{at}:".encode() + BODY), "x-time": at}
    assert keys(tmp_path, timestamp_header="X-Time").sender(headers, BODY, NOW) is None


def test_nobody_could_prove_anything_is_refused_unless_certificates_do() -> None:
    with pytest.raises(InputError, match="nobody could prove"):
        revealed([], certificates=False)
    assert revealed([], certificates=True).sender({}, b"", NOW) == MUTUAL_TLS


def test_a_token_is_asked_for_also_of_a_client_with_a_certificate(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    credential = Credential.model_validate({"name": "am", "token": {"file": str(tmp_path / "secret")}})
    assert revealed([credential], certificates=True).sender({}, b"", NOW) is None


def test_a_secret_that_is_short_or_missing_is_refused_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    for place, words in ((tmp_path / "secret", "fewer than 16"), (tmp_path / "absent", "cannot be read")):
        credential = Credential.model_validate({"name": "am", "token": {"file": str(place)}})
        with pytest.raises(InputError, match=words) as raised:
            revealed([credential], certificates=False)
        assert "hunter2" not in str(raised.value)
