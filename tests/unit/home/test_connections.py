"""Connections: what they fill, what they refuse, and that a secret stands nowhere but where it is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from sre_responder.drive.environment import inherited, secrets
from sre_responder.errors import InputError
from sre_responder.home import Home
from sre_responder.home.connections import Connections, load
from sre_responder.home.observing import Source
from sre_responder.model.actions import ACTIONS
from sre_responder.model.criterion import SOURCES
from sre_responder.model.look import NotMeasured
from sre_responder.system.secret import Secret

RESTART = ACTIONS["supervisor_restart"]
SHOP = """
shop:
  platform: supervisord
  server: http://10.0.0.5:9001
  username: ann
  password: {env: SHOP_WORD}
"""
CATALOGUE = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  annotations:
    responder/environments: staging, production
    staging.responder/supervisord-connection: shop
    responder/supervisor-program: checkout
"""


def written(tmp_path: Path, text: str = SHOP) -> Connections:
    (tmp_path / "connections.yml").write_text(text)
    return load(tmp_path / "connections.yml")


def home(tmp_path: Path, text: str = SHOP, catalogue: str = CATALOGUE) -> Home:
    for name, content in {"connections.yml": text, "catalogue.yml": catalogue, "policy.yml": ""}.items():
        (tmp_path / name).write_text(content)
    return Home(tmp_path, f"sqlite:///{tmp_path}/ledger.db", tmp_path)


def test_a_connection_stands_for_annotations_in_the_environment_that_names_it(tmp_path: Path) -> None:
    service = home(tmp_path).catalogue.service("checkout")
    assert service.reached("staging")["responder/supervisor-server"] == "http://10.0.0.5:9001"
    assert "responder/supervisor-server" not in service.reached("production")


def test_an_annotation_of_the_service_wins_over_its_connection(tmp_path: Path) -> None:
    own = (
        CATALOGUE.replace("metadata:", "metadata:").rstrip()
        + "\n    staging.responder/supervisor-server: unix:///own\n"
    )
    way = home(tmp_path, catalogue=own).catalogue.service("checkout").reached("staging")
    assert way["responder/supervisor-server"] == "unix:///own"


def test_only_what_no_annotation_says_is_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_WORD", " wh1sper \n")
    place = home(tmp_path)
    way = place.catalogue.service("checkout").reached("staging")
    assert place.connections.login(RESTART, way) == {"username": "ann", "password": "wh1sper"}
    assert place.connections.login(RESTART, {}) == {}
    assert place.connections.login(ACTIONS["haproxy_drain"], way) == {}


def test_a_service_with_a_connection_that_is_not_there_is_unusable_and_the_others_are_not(tmp_path: Path) -> None:
    other = "---\napiVersion: b/v1\nkind: Component\nmetadata: {name: cart, annotations: {responder/environments: staging}}\n"
    wrong = CATALOGUE.replace("connection: shop", "connection: shopp")
    catalogue = home(tmp_path, catalogue=wrong + other).catalogue
    with pytest.raises(InputError, match="connection 'shopp' is not in") as refused:
        catalogue.service("checkout")
    assert "connections.yml" in str(refused.value)
    assert "Did you mean shop?" in catalogue.problems[-1]
    assert catalogue.service("cart")
    assert [one.name for one in catalogue.unread] == ["checkout"]  # it may reach anything that its text names


def test_a_connection_of_another_platform_is_refused(tmp_path: Path) -> None:
    wrong = CATALOGUE.replace("supervisord-connection", "haproxy-connection")
    assert "is one of supervisord" in home(tmp_path, catalogue=wrong).catalogue.problems[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("platform: superviserd", "no action or source is of platform 'superviserd'"),
        ("user: ann", "no action of supervisord has this option"),
        ("password: hunter2", "a secret does not stand in this file"),
        ("password: {env: A, file: b}", "name one of env, file, vault and command"),
        ("password: {vault: b}", "vault and key stand together"),
        ("password: {envv: A}", "Write {env: NAME}"),
        ("password: {env: LD_PRELOAD}", "decides which code is loaded"),
        ("server: {env: WHERE}", "it says which target it is, so it cannot be a secret"),
        ("server: [a, b]", "it is no single value"),
    ],
)
def test_what_no_action_can_use_is_named_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    key = line.partition(":")[0]
    lines = [one for one in SHOP.splitlines() if not one.strip().startswith(f"{key}:")]
    with pytest.raises(InputError) as refused:
        written(tmp_path, "\n".join([*lines, f"  {line}"]))
    assert said in str(refused.value)
    assert f"{tmp_path}/connections.yml:{len(lines) + 1}: shop.{key}" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_variable_that_holds_a_secret_reaches_a_run_and_is_hidden_there(tmp_path: Path) -> None:
    environ = {"SHOP_WORD": "wh1sper-it", "OTHER_WORD": "nothing-here"}
    place = home(tmp_path)
    given = inherited(environ, place)
    assert "SHOP_WORD" in given and "OTHER_WORD" not in given
    assert secrets(given, place.connections.variables) == ["wh1sper-it"]


def test_what_cannot_be_read_is_named_without_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_WORD", raising=False)
    assert list(written(tmp_path).unreadable("shop")) == [
        "password of connection 'shop' cannot be read: the environment variable SHOP_WORD holds no secret."
    ]
    told = "#!/bin/sh\necho wh1sper\nexit 3\n"
    (tmp_path / "told").write_text(told)
    (tmp_path / "told").chmod(0o755)
    failing = SHOP.replace("{env: SHOP_WORD}", f"{{command: [{tmp_path}/told]}}")
    [said] = written(tmp_path, failing).unreadable("shop")
    assert "exits 3" in said and "wh1sper" not in said


def test_a_secret_is_read_from_a_program_without_a_shell(tmp_path: Path) -> None:
    assert Secret(command=(sys.executable, "-c", "print('a; b $HOME')")).reveal() == "a; b $HOME"
    with pytest.raises(OSError, match="No such file"):
        Secret(command=(f"{tmp_path}/none",)).reveal()


def test_a_secret_is_read_from_a_file_that_ansible_vault_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "word").write_text("open sesame\n")
    (tmp_path / "vault.yml").write_text("redis: wh1sper\nnested: {a: b}\n")
    program = Path(sys.executable).with_name("ansible-vault")
    lock = [program, "encrypt", "--vault-password-file", tmp_path / "word", tmp_path / "vault.yml"]
    subprocess.run(lock, check=True, capture_output=True)
    named = {"vault": tmp_path / "vault.yml", "password_file": tmp_path / "word"}
    assert Secret(key="redis", **named).reveal() == "wh1sper"
    with pytest.raises(ValueError, match="no single value"):
        Secret(key="nested", **named).reveal()
    with pytest.raises(ValueError, match="holds no secret"):
        Secret(key="none", **named).reveal()
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    with pytest.raises(ValueError, match="needs password_file"):
        Secret(vault=tmp_path / "vault.yml", key="redis").reveal()
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "word"))
    assert Secret(vault=tmp_path / "vault.yml", key="redis").reveal() == "wh1sper"


def test_a_reference_names_one_place() -> None:
    for wrong in (
        {},
        {"env": "A", "file": "b"},
        {"key": "a", "env": "A"},
        {"password_file": "a", "env": "A"},
        {"command": ()},
    ):
        with pytest.raises(ValidationError):
            Secret.model_validate(wrong)


METRICS = """
metrics:
  platform: prometheus
  url: https://metrics.example/prometheus/
  tenant: team-a
  token: {env: METRICS_WORD}
  headers: {X-Plain: shown, X-Key: {env: METRICS_KEY}}
"""
MEASURED = """
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: checkout
  annotations: {responder/environments: staging, responder/prometheus-connection: metrics, responder/label-job: shop}
"""


def test_a_connection_to_a_source_of_evidence_is_found_by_annotation_or_by_name(tmp_path: Path) -> None:
    place = home(tmp_path, METRICS, MEASURED)
    by_service = place.place("checkout", "staging")
    login = by_service.login("prometheus", None)
    assert (login.url, login.tenant) == ("https://metrics.example/prometheus", "team-a")
    assert by_service.login("prometheus", "metrics") is login
    assert by_service.login("http", None) is None
    with pytest.raises(NotMeasured, match="connection 'metric' is not in"):
        by_service.login("prometheus", "metric")
    with pytest.raises(NotMeasured, match="is one of prometheus"):
        by_service.login("postgresql", "metrics")


def test_annotations_for_evidence_are_known_and_a_missing_connection_makes_the_service_unusable(tmp_path: Path) -> None:
    assert home(tmp_path, METRICS, MEASURED).catalogue.service("checkout").doubts == ()
    with pytest.raises(InputError, match="connection 'metrics' is not in"):
        home(tmp_path, "", MEASURED).catalogue.service("checkout")


def test_secrets_of_a_source_also_those_in_headers_reach_a_run_and_are_hidden(tmp_path: Path) -> None:
    place = home(tmp_path, METRICS, MEASURED)
    assert place.connections.variables == {"METRICS_WORD", "METRICS_KEY"}
    assert [one.partition(" of ")[0] for one in place.connections.unreadable("metrics")] == ["token", "headers.X-Key"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("url: metrics.example", "does not start with http"),
        ("user: ann", "prometheus has no such option. Use url, token"),
        ("token: hunter2", "a secret does not stand in this file"),
        ("token: {env: A, file: b}", "name one of env, file, vault and command"),
        ("token: {env: LD_PRELOAD}", "decides which code is loaded"),
        ("headers: {X: {env: PYTHONPATH}}", "decides which code is loaded"),
        ("username: ann", "username and password stand together"),
    ],
)
def test_what_no_source_can_use_is_named_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    key = line.partition(":")[0]
    lines = [one for one in METRICS.splitlines() if not one.strip().startswith(f"{key}:")]
    with pytest.raises(InputError) as refused:
        written(tmp_path, "\n".join([*lines, f"  {line}"]))
    assert said in str(refused.value)
    assert "connections.yml:" in str(refused.value) and "hunter2" not in str(refused.value)


def test_a_source_of_calls_is_reached_by_a_connection_of_its_platform(tmp_path: Path) -> None:
    text = "traces: {platform: jaeger, url: 'http://jaeger:16686', token: {env: JAEGER_TOKEN}}\nmesh: {platform: prometheus, url: 'http://p'}\n"
    found = written(tmp_path, text)
    assert found.variables == {"JAEGER_TOKEN"}
    for kind, name in (("jaeger", "traces"), ("istio", "mesh"), ("linkerd", "mesh"), ("opentelemetry", "mesh")):
        source = Source(kind=kind, connection=name)
        assert found.of_calls(source) is found.named[name].login
    for kind, name in (("zipkin", "traces"), ("jaeger", "mesh"), ("istio", "nowhere")):
        with pytest.raises(InputError, match=f"no connection '{name}' of platform"):
            found.of_calls(Source(kind=kind, connection=name))


@pytest.mark.parametrize("line", ["lookback: 5", "token: plain text", "tenant: a"])
def test_a_connection_to_a_tracing_backend_says_only_what_that_takes(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=rf"connections.yml:4: traces.{line.partition(':')[0]}"):
        written(tmp_path, f"traces:\n  platform: zipkin\n  url: http://zipkin:9411\n  {line}\n")


def test_no_source_has_the_name_of_a_platform_with_other_options() -> None:
    platforms = {spec.platform for spec in ACTIONS.values()}
    assert not [name for name in SOURCES if name in platforms and SOURCES[name].login]
