"""The catalogue: Backstage documents become services, their graph, and how far a change to one reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder import catalogue
from sre_responder.catalogue import Catalogue, Radius, Service
from sre_responder.errors import InputError

Load = Callable[..., Catalogue]


def component(name: object, *needs: str, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Component",
        "metadata": {"name": name, "annotations": {f"responder/{key}": value for key, value in annotations.items()}},
        "spec": {"type": "service", "lifecycle": "production", "owner": "payments", "dependsOn": list(needs)},
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.yml"


@pytest.fixture
def load(file: Path) -> Load:
    def of(*documents: Any) -> Catalogue:
        file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        return catalogue.load(file)

    return of


def graph(edges: Mapping[str, Sequence[str]]) -> Catalogue:
    return Catalogue({name: Service(name, "x", None, tuple(needs), {}) for name, needs in edges.items()}, Path("c.yml"))


def test_a_component_of_backstage_is_a_service_with_owner_tier_needs_and_annotations(load: Load) -> None:
    found = load(
        component("checkout", "component:default/stock-db", "component:stock", "resource:default/disk", tier="edge"),
        component("stock-db"),
        component("stock"),
    )
    assert found.service("checkout") == Service(
        "checkout", "payments", "edge", ("stock-db", "stock"), {"responder/tier": "edge"}
    )


@pytest.mark.parametrize("kind", ["Group", "API", "System", "Location", None])
def test_documents_of_other_kinds_are_left_to_backstage(load: Load, kind: str | None) -> None:
    found = load({"kind": kind, "metadata": {"name": "not a service!"}}, "text", component("checkout"))
    assert list(found.services) == ["checkout"]


def test_fields_that_are_not_ours_are_left_to_backstage(load: Load) -> None:
    document = component("checkout")
    document["metadata"] |= {"tags": ["java"], "links": [{"url": "http://x/"}]}
    document["spec"] |= {"system": "shop", "providesApis": ["pay"]}
    assert load(document).service("checkout").owner == "payments"


def test_every_yaml_file_of_a_folder_is_read(tmp_path: Path) -> None:
    for name in ("a.yml", "deep/b.yaml", "deep/er/c.yml"):
        path = tmp_path / "catalogue" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(component(f"service-{path.stem}")))
    (tmp_path / "catalogue" / "notes.txt").write_text("kind: Component")
    assert sorted(catalogue.load(tmp_path / "catalogue").services) == ["service-a", "service-b", "service-c"]


@pytest.mark.parametrize("name", ["", "x", "-checkout", "a b", "checkout\n", "{{ x }}", "a/b", "ca\u0441he", "x" * 65])
def test_a_name_that_is_no_service_name_is_refused_with_its_place(load: Load, file: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a service name") as raised:
        load(component("checkout"), component(name))
    assert raised.value.message.startswith(f"{file}:{len(yaml.safe_dump(component('checkout')).splitlines()) + 2}: ")


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([component("checkout"), component("checkout")], "service 'checkout' is defined twice"),
        ([component("checkout", tier="top")], "responder/tier 'top' is not edge, middleware or backend"),
        ([component(7)], "metadata.name"),
        ([{"kind": "Component", "metadata": {}}], "metadata.name: Field required"),
        ([{"kind": "Component"}], "metadata: Field required"),
        ([component("checkout") | {"spec": {"dependsOn": "stock"}}], "spec.dependsOn: Input should be a valid list"),
        ([component("checkout", "component:stok"), component("stock")], "depends on 'stok'"),
        ([component("checkout", "component:")], "is not a service name"),
    ],
)
def test_a_wrong_document_is_named_with_its_file_and_line(load: Load, file: Path, documents: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        load(*documents)
    assert raised.value.message.startswith(f"{file}:")


def test_an_unknown_dependency_in_a_folder_is_named_with_its_file(tmp_path: Path) -> None:
    for name, document in (("a.yml", component("stock")), ("b.yml", component("checkout", "component:stok"))):
        (tmp_path / name).write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match="depends on 'stok'") as raised:
        catalogue.load(tmp_path)
    assert str(tmp_path / "b.yml") in raised.value.message
    assert raised.value.cure == "Did you mean stock?"


def test_a_service_defined_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(yaml.safe_dump(component("checkout")))
    with pytest.raises(InputError, match="defined twice") as raised:
        catalogue.load(tmp_path)
    assert raised.value.message.startswith(f"{tmp_path / 'b.yml'}:1: ")


@pytest.mark.parametrize("documents", [[], [{"kind": "Group"}]])
def test_a_catalogue_without_services_is_refused(load: Load, documents: list[Any]) -> None:
    with pytest.raises(InputError, match="holds no Component"):
        load(*documents)


def test_an_unknown_service_is_refused_with_near_matches(load: Load) -> None:
    found = load(component("checkout"), component("check-in"), component("stock"))
    with pytest.raises(InputError, match="'chekout' is not in the catalogue") as raised:
        found.service("chekout")
    assert raised.value.cure.startswith("Did you mean checkout")


def test_an_unknown_service_like_no_other_says_where_to_add_it(load: Load, file: Path) -> None:
    with pytest.raises(InputError) as raised:
        load(component("checkout")).service("zzzz")
    assert raised.value.cure == f"Add it to {file}."


@pytest.mark.parametrize(
    ("edges", "cycles"),
    [
        ({"aa": ["bb"], "bb": []}, []),
        ({"aa": ["aa"]}, [["aa"]]),
        ({"aa": ["bb"], "bb": ["aa"], "cc": ["aa"]}, [["aa", "bb"]]),
        ({"aa": ["bb"], "bb": ["cc"], "cc": ["aa"]}, [["aa", "bb", "cc"]]),
    ],
)
def test_services_that_depend_on_themselves_are_reported(edges: dict[str, list[str]], cycles: list[list[str]]) -> None:
    assert graph(edges).cycles() == cycles


CHAIN: dict[str, list[str]] = {
    "web": ["shop"],
    "app": ["shop"],
    "shop": ["stock"],
    "stock": ["db"],
    "db": [],
    "mail": [],
}


@pytest.mark.parametrize(
    ("service", "downstream", "neighbours"),
    [
        ("db", ("app", "shop", "stock", "web"), ("shop", "stock")),
        ("stock", ("app", "shop", "web"), ("app", "db", "shop", "web")),
        ("shop", ("app", "web"), ("app", "db", "stock", "web")),
        ("web", (), ("app", "shop", "stock")),
        ("mail", (), ()),
    ],
)  # fmt: skip
def test_radius_is_who_depends_on_a_service_and_who_stands_within_two_hops(
    service: str, downstream: tuple[str, ...], neighbours: tuple[str, ...]
) -> None:
    found = graph(CHAIN).radius(service)
    assert found == Radius(service, downstream, neighbours)
    assert found.as_dict() == {"service": service, "downstream": [*downstream], "neighbours": [*neighbours]}


def test_radius_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(InputError, match="not in the catalogue"):
        graph(CHAIN).radius("nobody")


SERVICES = [f"s{number}" for number in range(7)]


@given(st.dictionaries(st.sampled_from(SERVICES), st.lists(st.sampled_from(SERVICES), unique=True)))
def test_downstream_is_everybody_who_reaches_the_service_through_needs(written: dict[str, list[str]]) -> None:
    edges = {name: written.get(name, []) for name in SERVICES}

    def reached(start: str) -> set[str]:
        seen, open_ = set[str](), [*edges[start]]
        while open_:
            name = open_.pop()
            if name not in seen:
                seen.add(name)
                open_ += edges[name]
        return seen

    found = graph(edges)
    for service in SERVICES:
        assert set(found.radius(service).downstream) == {
            other for other in SERVICES if other != service and service in reached(other)
        }
        assert (service in reached(service)) == any(service in cycle for cycle in found.cycles())
