"""What of the caller's environment reaches a run, and a home that a run can write into."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from sre_responder.drive.environment import inherited, secrets, writable_home
from sre_responder.home import Home
from sre_responder.home.policy import Ansible

OURS = {"ANSIBLE_COLLECTIONS_PATH", "LANG", "LC_ALL", "PYTHONNOUSERSITE"}


def home(folder: Path, **ansible: object) -> Home:
    (folder / "policy.yml").write_text(yaml.safe_dump({"profile": "homelab", "ansible": ansible}))
    return Home(folder, "sqlite:////nowhere", folder)


@pytest.mark.parametrize(
    ("environ", "kept"),
    [
        ({"HOME": "/h", "TZ": "UTC", "SSH_AUTH_SOCK": "/s", "PATH": "/bin"}, {"HOME", "TZ", "SSH_AUTH_SOCK", "PATH"}),
        ({"RESPONDER_HOME": "/h", "RESPONDER_LEDGER": "sqlite:///x"}, {"RESPONDER_HOME", "RESPONDER_LEDGER"}),
        ({"PGPASSFILE": "/p", "PGSSLMODE": "verify-full"}, {"PGPASSFILE", "PGSSLMODE"}),
        ({"AWS_PROFILE": "p", "AWS_SECRET_ACCESS_KEY": "s", "AZURE_CONFIG_DIR": "/a"}, {"AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "AZURE_CONFIG_DIR"}),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "/g", "CLOUDSDK_CONFIG": "/c"}, {"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"}),
        ({"KUBECONFIG": "/k", "KUBERNETES_SERVICE_HOST": "::1"}, {"KUBECONFIG", "KUBERNETES_SERVICE_HOST"}),
        ({"https_proxy": "http://p", "NO_PROXY": "x", "SSL_CERT_FILE": "/c"}, {"https_proxy", "SSL_CERT_FILE"}),
        ({"ANSIBLE_CONFIG": "/evil", "ANSIBLE_LIBRARY": "/evil", "ANSIBLE_STRATEGY": "free"}, set()),
        ({"LD_PRELOAD": "x", "PYTHONSTARTUP": "x", "PYTHONPATH": "x", "BASH_ENV": "x"}, set()),
        ({"GITHUB_TOKEN": "x", "VAULT_TOKEN": "x", "LC_TIME": "de_DE"}, set()),
    ],
)  # fmt: skip
def test_what_platforms_need_of_the_environment_reaches_a_run_and_nothing_else(
    tmp_path: Path, environ: dict[str, str], kept: set[str]
) -> None:
    found = inherited(environ, home(tmp_path))
    assert set(found) - OURS - {"no_proxy", "NO_PROXY"} == kept
    assert {name: found[name] for name in kept} == {name: environ[name] for name in kept}


@pytest.mark.parametrize(("environ", "past"), [
    ({}, None),
    ({"HTTPS_PROXY": "http://p"}, "localhost,127.0.0.1,::1"),
    ({"https_proxy": "http://p", "no_proxy": "example.org, 127.0.0.1"}, "example.org,127.0.0.1,localhost,::1"),
    ({"all_proxy": "http://p", "NO_PROXY": "*"}, "*,localhost,127.0.0.1,::1"),
])  # fmt: skip
def test_no_module_of_a_run_asks_this_machine_through_a_proxy(
    tmp_path: Path, environ: dict[str, str], past: str | None
) -> None:
    found = inherited(environ, home(tmp_path))
    assert (found.get("no_proxy"), found.get("NO_PROXY")) == (past, past)


def test_values_whose_names_say_so_are_secrets_and_paths_to_them_are_not() -> None:
    environ = {
        "AWS_SECRET_ACCESS_KEY": "abcdefgh",
        "PGPASSWORD": "hunter22",
        "PGPASSFILE": "/p/pass",
        "TOKEN": "x",
        "HOME": "/home/x",
    }
    assert sorted(secrets(environ)) == ["abcdefgh", "hunter22"]


def test_the_policy_names_further_variables_by_name_or_beginning(tmp_path: Path) -> None:
    found = inherited(
        {"VAULT_ADDR": "x", "VAULT_TOKEN": "x", "HCLOUD_TOKEN": "x"},
        home(tmp_path, environment=["VAULT_ADDR", "HCLOUD_*"]),
    )
    assert set(found) - OURS == {"VAULT_ADDR", "HCLOUD_TOKEN"}


CODE = [
        "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD", "LD_LIBRARY_PATH", "LD_*", "L*", "ANSIBLE_LIBRARY", "P*", "*", "PATH",
        "HOME", "GIT_SSH_COMMAND", "NODE_OPTIONS", "PERL5LIB", "RUBYOPT", "G*", "A B",
]  # fmt: skip


@pytest.mark.parametrize("name", CODE)
def test_the_policy_lets_nothing_reach_a_run_that_decides_which_code_is_loaded(name: str) -> None:
    with pytest.raises(ValidationError):
        Ansible(environment=(name,))


@pytest.mark.parametrize("caller", ["xx_YY.UTF-8", "de_DE.ISO-8859-1", "POSIX", ""])
def test_a_run_speaks_utf_8_whatever_the_locale_of_its_caller(tmp_path: Path, caller: str) -> None:
    found = inherited({"LANG": caller, "LC_ALL": caller, "LC_CTYPE": caller}, home(tmp_path))
    assert {name: value for name, value in found.items() if name.startswith(("LANG", "LC_"))} == {
        "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
    }  # fmt: skip


def test_the_vault_password_is_where_the_home_says_else_where_the_caller_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    caller = {"ANSIBLE_VAULT_PASSWORD_FILE": "mine"}
    assert inherited(caller, home(tmp_path))["ANSIBLE_VAULT_PASSWORD_FILE"] == str(tmp_path / "mine")
    says = home(tmp_path, vault_password_file="vault/password")
    assert inherited(caller, says)["ANSIBLE_VAULT_PASSWORD_FILE"] == str(tmp_path / "vault" / "password")


def test_a_home_that_nobody_can_write_is_replaced_by_one_with_links_to_all_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, folder = tmp_path / "given", tmp_path / "run"
    for name in (".ssh", ".ansible"):
        (given / name).mkdir(parents=True)
    folder.mkdir()
    assert writable_home(str(given), folder) == str(given)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    made = Path(writable_home(str(given), folder))
    assert made == folder / "home"
    assert {entry.name: entry.resolve() for entry in made.iterdir()} == {".ssh": given / ".ssh"}


def test_without_a_home_there_is_that_of_the_account_and_one_that_does_not_exist_is_made(tmp_path: Path) -> None:
    assert writable_home(None, tmp_path) == pwd.getpwuid(os.getuid()).pw_dir
    assert writable_home("/nonexistent", tmp_path) == str(tmp_path / "home")
