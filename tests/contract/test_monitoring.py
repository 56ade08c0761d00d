"""What watches Responder, before real programs: the role on a real systemd, node_exporter, Prometheus with our rules, the dashboard's queries."""

from __future__ import annotations

import getpass
import grp
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from support import ledgers
from support.history import History
from support.roles import play, recap
from support.systemd_machine import Machine, until

from sre_responder.emergency import stop
from sre_responder.ledger import Ledger, runs
from sre_responder.record import metrics

pytestmark = [pytest.mark.contract, pytest.mark.slow]
ROLE = Path(__file__).parents[2] / "roles" / "monitoring"
CASES = Path(__file__).with_name("monitoring_rules_test.yml")
MINUTES = 180
FAILS = {"kind": "file", "name": "log", "path": "/proc/none/x"}
CATALOGUE = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: checkout}\n"

Component = Callable[[str, str], Path]
Start = Callable[[list[object], Callable[[], bool]], subprocess.Popen[bytes]]
FreePort = Callable[[], int]


@pytest.fixture
def promtool(component: Component) -> Path:
    return component("promtool", "prometheus")


@pytest.fixture
def watched(tmp_path: Path, promtool: Path) -> dict[str, Any]:
    """Variables of a machine with a home and a ledger, whose collector, rules and dashboards are folders of the test."""
    for name in ("home", "stop", "units", "collector", "rules", "dashboards"):
        (tmp_path / name).mkdir()
    (tmp_path / "home/policy.yml").write_text(f"profile: team\nstop: {{file: {tmp_path}/stop/EMERGENCY_STOP}}\n")
    (tmp_path / "home/catalogue.yml").write_text(CATALOGUE)
    ledger = f"sqlite:///{tmp_path}/state/ledger.db"
    ledgers.make(Ledger(ledger))
    (tmp_path / "environment").write_text(f"RESPONDER_HOME={tmp_path}/home\nRESPONDER_LEDGER={ledger}\n")
    return {
        "monitoring_textfile": f"{tmp_path}/collector/responder.prom",
        "monitoring_user": getpass.getuser(),
        "monitoring_group": grp.getgrgid(os.getgid()).gr_name,
        "monitoring_virtualenv": sys.prefix,
        "monitoring_environment_file": f"{tmp_path}/environment",
        "monitoring_units": f"{tmp_path}/units",
        "monitoring_timer": False,
        "monitoring_rules": f"{tmp_path}/rules/responder.yml",
        "monitoring_promtool": str(promtool),
        "monitoring_prometheus": "",
        "monitoring_dashboard": f"{tmp_path}/dashboards/responder.json",
    }


def test_monitoring_is_set_up_once_and_left_alone_afterwards(
    tmp_path: Path, watched: dict[str, Any], component: Component
) -> None:
    checked = play(tmp_path, "monitoring", watched, "--check")
    assert checked.returncode == 0 and recap(checked)["changed"] > 0, checked.stdout
    assert [path for name in ("units", "rules", "dashboards") for path in (tmp_path / name).iterdir()] == []

    first = play(tmp_path, "monitoring", watched)
    assert first.returncode == 0 and recap(first)["changed"] > 0, first.stdout
    again = play(tmp_path, "monitoring", watched)
    assert (again.returncode, recap(again)["changed"], recap(again)["failed"]) == (0, 0, 0), again.stdout

    units = sorted(map(str, (tmp_path / "units").iterdir()))
    analyze = component("systemd-analyze", "systemd")
    verified = subprocess.run([analyze, "verify", "--man=no", *units], text=True, capture_output=True, check=False)
    assert (len(units), verified.returncode) == (2, 0), verified.stderr
    assert "responder-" not in verified.stdout + verified.stderr
    rules = yaml.safe_load((tmp_path / "rules/responder.yml").read_text())
    urls = [
        rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule
    ]
    assert {url.partition("#")[0] for url in urls} == {"https://git.example.org/sre/responder/docs/monitoring.md"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"monitoring_textfile": "", "monitoring_rules": "", "monitoring_dashboard": ""}, "Nothing to set up"),
        ({"monitoring_textfile": "/var/lib/x/responder.txt"}, "is not an absolute path that ends in .prom"),
        ({"monitoring_textfile": "/x/a b.prom"}, "is not an absolute path"),
        ({"monitoring_promtool": "/bin/false"}, "failed to validate"),
    ],
)
def test_what_could_not_work_is_refused_and_the_old_rules_stay(
    tmp_path: Path, watched: dict[str, Any], wrong: dict[str, Any], words: str
) -> None:
    (tmp_path / "rules/responder.yml").write_text("groups: []\n")
    done = play(tmp_path, "monitoring", {**watched, **wrong})
    assert done.returncode == 2 and words in done.stdout, done.stdout
    assert (tmp_path / "rules/responder.yml").read_text() == "groups: []\n"


def test_on_a_machine_with_systemd_the_timer_writes_the_metrics(
    tmp_path: Path, watched: dict[str, Any], machine: Machine
) -> None:
    folder = machine.folder / "monitored"
    for name in ("home", "stop", "collector"):
        (folder / name).mkdir(parents=True)
    (folder / "home/policy.yml").write_text(f"profile: team\nstop: {{file: {folder}/stop/EMERGENCY_STOP}}\n")
    (folder / "home/catalogue.yml").write_text(CATALOGUE)
    ledgers.make(Ledger(f"sqlite:///{folder}/ledger.db"))
    (folder / "environment").write_text(
        f"RESPONDER_HOME={folder}/home\nRESPONDER_LEDGER=sqlite:///{folder}/ledger.db\n"
    )
    override = machine.folder / "units/responder-metrics.service.d"
    override.mkdir()
    (override / "test.conf").write_text("[Service]\nPrivateTmp=no\n")  # all that the test made lies in /tmp
    there = {
        "monitoring_textfile": f"{folder}/collector/responder.prom", "monitoring_environment_file": f"{folder}/environment",
        "monitoring_units": f"{machine.folder}/units", "monitoring_timer": True, "monitoring_every": "1s",
        "monitoring_rules": "", "monitoring_dashboard": "", "monitoring_user": "root", "monitoring_group": "root",
    }  # fmt: skip
    done = play(tmp_path, "monitoring", {**watched, **there}, host=machine.reached)
    assert done.returncode == 0, done.stdout
    file, units = folder / "collector/responder.prom", ("responder-metrics.timer", "responder-metrics.service")
    try:
        until(lambda: file.exists() and "responder_up 1.0" in file.read_text(), "the timer writes the metrics")
    finally:
        machine.systemctl("stop", *units)
    (folder / "ledger.db").unlink()
    assert machine.run("systemctl", "start", units[1]).returncode != 0
    assert "responder_up 0.0" in file.read_text()


# What a Prometheus makes of it


@pytest.fixture
def rules(tmp_path: Path, watched: dict[str, Any]) -> Path:
    """The rules as the role writes them."""
    done = play(tmp_path, "monitoring", {**watched, "monitoring_textfile": ""})
    assert done.returncode == 0, done.stdout
    return Path(watched["monitoring_rules"])


def test_each_alert_fires_when_it_should_and_not_before(rules: Path, promtool: Path) -> None:
    written = yaml.safe_load(CASES.read_text())
    cases = [case for test in written["tests"] for case in test.get("alert_rule_test", [])]
    alerts = {
        rule["alert"]
        for group in yaml.safe_load(rules.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts
    (rules.parent / "test.yml").write_text(CASES.read_text())
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=rules.parent, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Told:
    """A history of which everything that we measure has happened, and what was measured in it, minute by minute."""

    def __init__(self, folder: Path) -> None:
        began = float(round(time.time()) - (MINUTES + 20) * 60)  # behind it a Prometheus that runs now can add
        self.history = h = History(folder, epoch=began, notifications=[FAILS])
        self.measured: list[tuple[float, list[Metric]]] = []
        self.measure(0)
        h.attested(10).tried(11, outcome="not_improved").tried(12, "restart", outcome="improved", service="search")
        h.tried(13, "drain", "improved", service="basket").tried(14, "restart", outcome="unknown", service="mail")
        h.refused(20, service="login")
        h.asks(21, environment="production")
        h.signs(25, "dana", "deny").asks(30, environment="production")
        with h.ledger.transaction() as connection:
            now = h.ledger.now(connection)
            stop.raise_(connection, now, "dana", "x", service="login")
            for id, ending in (("healed", "healed"), ("died", "died"), ("lasts", "")):
                runs.begin(
                    connection, now, id, driven=True, requester="x", service="checkout", environment="staging", runbook="purge"
                )  # fmt: skip
                if ending:
                    runs.end(connection, now + 30, id, ending, "x", "x")
        self.measure(31)
        self.measure(MINUTES)

    def measure(self, minute: float) -> None:
        self.history.minute = minute
        self.measured.append((self.history.clock, metrics.read(self.history.home, self.history.ledger)))

    @property
    def last(self) -> list[Metric]:
        return self.measured[-1][1]

    def samples(self, labels: dict[str, str]) -> Iterator[Metric]:
        """Each family with a sample a minute, as it was last measured by then."""
        times = [self.history.epoch + minute * 60 for minute in range(MINUTES + 1)]
        families: dict[str, Metric] = {}
        for at in times:
            found = [known for since, known in self.measured if since <= at + 1][-1]
            for family in found:
                into = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    value = at if sample.name == "responder_collected_timestamp_seconds" else sample.value
                    into.samples.append(sample._replace(timestamp=at, value=value, labels={**sample.labels, **labels}))
        for family in families.values():
            family.samples.sort(key=lambda sample: (sample.name, sorted(sample.labels.items())))
            yield family


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "told")


@pytest.fixture
def query(
    tmp_path: Path, told: Told, rules: Path, promtool: Path, component: Component, start: Start, free_port: FreePort
) -> Callable[..., list[Any]]:
    """`query(PROMQL)` is what a real Prometheus answers at the end of that history, of which it has every minute."""
    program = component("prometheus", "prometheus")
    backlog, data, port = tmp_path / "backlog", tmp_path / "tsdb", free_port()
    families = list(told.samples({"instance": "box:9100", "job": "node"}))
    backlog.write_bytes(openmetrics.generate_latest(metrics.registry(families)))
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"rule_files": [str(rules)], "global": {"evaluation_interval": "1s"}}))

    def ready() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=100y",
    ]  # fmt: skip
    subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", backlog, data], check=True, capture_output=True
    )
    start(command, ready)

    def ask(text: str, at: float = told.history.clock) -> list[Any]:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params={"query": text, "time": str(at)}).json()
        assert answer["status"] == "success", (text, answer)
        return list(answer["data"]["result"])

    return ask


def queries(rules: Path) -> list[str]:
    """Every query of the dashboard, with what Grafana puts in the place of its variables, and what rules record as they compute it."""
    written = json.loads((ROLE / "files/dashboard.json").read_text())
    found = [target["expr"] for panel in written["panels"] for target in panel["targets"]]
    values = {"$__rate_interval": "4m", "$__range": "4h", "$instance": ".+"}
    groups = yaml.safe_load(rules.read_text())["groups"]
    values |= {
        f'{rule["record"]}{{instance=~".+"}}': f"({rule['expr']})"
        for group in groups
        for rule in group["rules"]
        if "record" in rule
    }
    for name, value in values.items():
        found = [text.replace(name, value) for text in found]
    assert found and not [text for text in found if "$" in text or "ratio7d" in text]
    return found


def test_every_query_of_the_dashboard_has_an_answer(query: Callable[..., list[Any]], rules: Path) -> None:
    of_history = [text for text in queries(rules) if not text.startswith("ALERTS")]
    assert [text for text in of_history if not query(text)] == []
    [of_now] = set(queries(rules)) - set(of_history)
    until(lambda: query(of_now, time.time()), "an alert that nothing is measured any more")


def test_what_the_dashboard_counts_is_exact_also_for_what_happened_once(
    query: Callable[..., list[Any]], rules: Path
) -> None:
    [by_outcome] = [text for text in queries(rules) if "by (action, outcome)" in text]
    counted = {(one["metric"]["action"], one["metric"]["outcome"]): float(one["value"][1]) for one in query(by_outcome)}
    assert counted == {
        ("http_cache_purge", "not_improved"): 1, ("supervisor_restart", "improved"): 1, ("haproxy_drain", "improved"): 1
    }  # fmt: skip
    [improved] = [text for text in queries(rules) if "7d" in text and 'outcome="improved"' in text]
    assert float(query(improved)[0]["value"][1]) == pytest.approx(2 / 3)


def test_every_metric_of_ours_is_one_that_promtool_approves(told: Told, promtool: Path) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=generate_latest(metrics.registry(told.last)),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_node_exporter_hands_on_what_the_command_writes(
    tmp_path: Path, told: Told, component: Component, start: Start, free_port: FreePort
) -> None:
    program, port = component("prometheus-node-exporter", "prometheus-node-exporter"), free_port()
    (tmp_path / "read").mkdir()
    (tmp_path / "read/responder.prom").write_bytes(generate_latest(metrics.registry(told.last)))

    def scraped() -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics").text
        except httpx.TransportError:
            return ""

    start(
        [
            program, "--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={tmp_path}/read",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        lambda: bool(scraped()),
    )  # fmt: skip
    lines = scraped().splitlines()
    assert "node_textfile_scrape_error 0" in lines and "responder_up 1" in lines
    assert len([line for line in lines if line.startswith("responder_")]) == sum(len(one.samples) for one in told.last)
