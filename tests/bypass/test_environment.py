"""The environment is a fact of the catalogue: no word of a caller, an alert or a task makes production anything milder."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from bypass.world import World


def given(world: World, **annotations: str) -> None:
    """Put annotations of checkout into the catalogue, before those that it has."""
    catalogue = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(catalogue.read_text())
    service["metadata"]["annotations"].update(
        {key.replace("__", "/").replace("_", "-"): value for key, value in annotations.items()}
    )
    catalogue.write_text(yaml.safe_dump(service))


@pytest.fixture
def production(world: World) -> World:
    """A service that exists in production alone."""
    world.heals("1")
    given(world, responder__environments="production")
    return world


def beside(world: World, root: object, **annotations: str) -> None:
    """Put a service of production into the catalogue whose releases are said to lie here."""
    catalogue = world.home.folder / "catalogue.yml"
    mine = yaml.safe_load(catalogue.read_text())
    said = {"responder/environments": "production", "responder/release-root": str(root), **annotations}
    catalogue.write_text(yaml.safe_dump_all([mine, {**mine, "metadata": {"name": "payments", "annotations": said}}]))


def untouched(world: World) -> bool:
    return (world.release, world.started()) == ("2", 0)


def test_an_incident_of_an_environment_that_the_catalogue_does_not_give_is_not_opened(production: World) -> None:
    opened = production.responder("incident", "open", "--service", "checkout", "--environment", "dev")
    assert opened.returncode == 2
    assert "gives checkout no environment dev: it exists in production" in opened.stderr


def test_the_driver_starts_no_run_in_such_an_environment(production: World) -> None:
    done = production.drive()  # of an incident in staging that was opened when the catalogue was another
    assert (done.returncode, untouched(production)) == (2, True), done.stderr
    assert not production.entries("run.started")


def test_a_play_by_hand_is_refused_in_such_an_environment(production: World) -> None:
    done = production.play()
    assert (done.returncode != 0, untouched(production)) == (True, True)
    assert "gives checkout no environment staging" in done.stdout


def test_a_task_that_writes_its_own_environment_is_refused(production: World) -> None:
    def change(play: dict[str, Any]) -> None:
        for task in play["tasks"]:
            for name in [one for one in task if one.startswith("sre.")]:
                task[name]["environment"] = "dev"

    production.write(change)
    assert production.drive().returncode == 2
    assert production.play().returncode != 0
    assert untouched(production)


def test_a_label_of_an_alert_opens_no_incident_in_such_an_environment(production: World) -> None:
    labels = {"alertname": "Bad", "service": "checkout", "environment": "dev", "severity": "SEV3"}
    payload = {
        "version": "4",
        "status": "firing",
        "alerts": [{"status": "firing", "labels": labels, "annotations": {}}],
    }
    alert = production.root / "alert.json"
    alert.write_text(json.dumps(payload))
    done = production.responder("respond", "--alert", str(alert))
    assert (done.returncode, untouched(production)) == (2, True), done.stderr
    assert "gives checkout no environment dev" in done.stderr
    assert len(production.entries("incident.opened")) == 1


def test_one_target_in_two_environments_is_judged_by_the_stricter(world: World) -> None:
    world.heals("1")
    given(world, responder__environments="staging, production")
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout
    assert "that of checkout in production" in world.refusals()


def test_an_environment_with_targets_of_its_own_is_judged_by_its_own_limits(world: World) -> None:
    world.heals("1")
    given(world, responder__environments="staging, production", production__responder__release_root="/srv/production")
    catalogue = world.home.folder / "catalogue.yml"
    catalogue.write_text(
        catalogue.read_text().replace("production/responder/release-root", "production.responder/release-root")
    )
    assert (world.drive().returncode, world.release) == (0, "1")


def test_an_option_written_into_the_task_does_not_pass_for_a_milder_environment(world: World) -> None:
    world.heals("1")
    root = str(world.root / "app")
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(root=root))
    given(world, responder__environments="staging, production", responder__release_root="/srv/staging")
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout


@pytest.mark.parametrize("spelt", ["{0}/app/", "{0}/./app", "{0}/link", "{0}/app/releases/.."])
def test_a_root_is_the_same_folder_of_its_host_however_it_is_spelt(world: World, spelt: str) -> None:
    world.heals("1")
    (world.root / "link").symlink_to("app")
    beside(world, spelt.format(world.root))
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout
    assert "that of payments in production" in world.refusals()


@pytest.mark.parametrize(("hosts", "acts"), [("p1", False), ("localhost, p2", False), ("p2", True)])
def test_a_host_is_the_same_machine_whatever_the_inventory_calls_it(world: World, hosts: str, acts: bool) -> None:
    world.heals("1")
    inventory = world.home.folder / "inventory.yml"
    machines = {"p1": {"ansible_host": "127.0.0.1"}, "p2": {"ansible_host": "192.0.2.1"}}
    remote = {name: {**way, "ansible_connection": "ssh"} for name, way in machines.items()}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": remote}}))
    beside(world, world.root / "app", **{"responder/hosts": hosts})
    done = world.drive()
    assert (world.release, world.started()) == (("1", 1) if acts else ("2", 0)), done.stdout


@pytest.mark.parametrize("how", ["another service", "no environment any more"])
def test_an_undo_is_judged_by_what_the_catalogue_says_now(world: World, how: str) -> None:
    world.heals("1")
    assert (world.drive().returncode, world.release) == (0, "1")
    if how == "another service":
        beside(world, f"{world.root}/app/")
    else:
        given(world, responder__environments="production")
    undone = world.responder("undo", "1")
    assert (undone.returncode, world.release) == (3, "1"), undone.stderr
    assert ("that of payments in production" in undone.stderr) == (how == "another service"), undone.stderr


@pytest.mark.parametrize("place", ["play", "task"])
def test_a_connection_that_the_play_chooses_is_the_one_that_counts(world: World, place: str) -> None:
    """The inventory says that staging is far away; the play reaches this machine, which is production's."""
    world.heals("1")
    far = {"ansible_host": "192.0.2.1", "ansible_connection": "ssh"}
    hosts = {"s1": far, "p1": {"ansible_connection": "ansible.builtin.local"}}
    (world.home.folder / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))

    def here(play: dict[str, Any]) -> None:
        play["hosts"] = "s1"
        del play["connection"]
        chosen = play if place == "play" else play["tasks"][1]
        chosen.setdefault("vars", {})["ansible_connection"] = "local"

    world.write(here)
    beside(world, world.root / "app", **{"responder/hosts": "p1"})
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout
    assert "that of payments in production" in world.refusals()


@pytest.mark.parametrize(("hosts", "acts"), [("web1", True), ("web", True), ("here", False), ("p*", False)])
def test_a_host_that_this_inventory_does_not_know_and_a_group_break_nothing(
    world: World, hosts: str, acts: bool
) -> None:
    world.heals("1")
    far = {"hosts": {"w1": {"ansible_host": "192.0.2.1", "ansible_connection": "ssh"}}}
    near = {"hosts": {"p1": {"ansible_connection": "local"}}}
    inventory = {"all": {"children": {"web": far, "here": near}}}
    (world.home.folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    beside(world, world.root / "app", **{"responder/hosts": hosts})
    done = world.drive()
    assert (world.release, world.started()) == (("1", 1) if acts else ("2", 0)), done.stdout


def test_half_an_annotation_of_ones_own_makes_no_target_ones_own(world: World) -> None:
    world.heals("1")
    root = str(world.root / "app")
    world.write(lambda play: play["tasks"][1]["sre.responder.release_rollback"].update(root=root))
    given(world, responder__environments="staging, production", responder__hosts="localhost")
    catalogue = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(catalogue.read_text())
    del service["metadata"]["annotations"]["responder/release-root"]
    catalogue.write_text(yaml.safe_dump(service))
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout


def test_the_target_of_another_service_in_production_is_not_acted_on_under_a_milder_name(world: World) -> None:
    world.heals("1")
    catalogue = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(catalogue.read_text())
    other = {**service, "metadata": {**service["metadata"], "name": "payments"}}
    other["metadata"]["annotations"] = {**service["metadata"]["annotations"], "responder/environments": "production"}
    catalogue.write_text(yaml.safe_dump_all([service, other]))
    done = world.drive()
    assert (done.returncode, untouched(world)) == (3, True), done.stdout
    assert "that of payments in production" in world.refusals()
