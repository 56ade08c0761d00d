"""The catalogue: Backstage documents become services, their graph, and how far a change to one reaches."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sre_responder.errors import InputError
from sre_responder.home import catalogue, find
from sre_responder.home.catalogue import Catalogue, Service
from sre_responder.home.graph import Graph, Radius

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


def problems(load: Load, *documents: Any) -> str:
    """What is wrong with a catalogue that has a good service too."""
    found = load(*documents, component("healthy"))
    assert "healthy" in found.services
    return "\n".join(found.problems)


def graph(edges: Mapping[str, Sequence[str]]) -> Catalogue:
    return Catalogue({name: Service(name, "x", None, tuple(needs), {}) for name, needs in edges.items()}, Path("c.yml"))


def test_a_component_of_backstage_is_a_service_with_owner_tier_needs_and_annotations(load: Load) -> None:
    found = load(
        component("checkout", "component:default/stock-db", "component:stock", "resource:default/disk", tier="edge"),
        component("stock-db"),
        component("stock"),
    )
    assert found.service("checkout") == Service(
        "checkout", "payments", "edge", ("stock-db", "stock"), {"responder/tier": "edge"}, ("production",)
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


@pytest.mark.parametrize("name", ["", "-checkout", "a b", "checkout\n", "a/b", "ca\u0441he", "x" * 65])
def test_a_name_that_is_no_service_name_is_refused_with_its_place(load: Load, file: Path, name: str) -> None:
    found = load(component("checkout"), component(name))
    assert list(found.services) == ["checkout"]
    [problem] = found.problems
    assert problem.startswith(f"{file}:{len(yaml.safe_dump(component('checkout')).splitlines()) + 2}: ")
    assert "is not a service name" in problem


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
    found = problems(load, *documents)
    assert words in found
    assert found.startswith(f"{file}:")


def test_an_unknown_dependency_in_a_folder_is_named_with_its_file(tmp_path: Path) -> None:
    for name, document in (("a.yml", component("stock")), ("b.yml", component("checkout", "component:stok"))):
        (tmp_path / name).write_text(yaml.safe_dump(document))
    found = catalogue.load(tmp_path)
    [problem] = found.problems
    assert problem.startswith(f"{tmp_path / 'b.yml'}:1: ")
    assert problem.endswith("depends on 'stok', which is not in the catalogue. Did you mean stock?")
    assert found.service("checkout").depends_on == ("stok",), "it counts in the radius all the same"


def test_a_service_defined_in_two_files_cannot_be_used_and_disables_no_other(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(yaml.safe_dump(component("checkout")))
    (tmp_path / "c.yml").write_text(yaml.safe_dump(component("stock")))
    found = catalogue.load(tmp_path)
    assert list(found.services) == ["stock"]
    with pytest.raises(InputError, match=f"{tmp_path / 'b.yml'}:1: service 'checkout' is defined twice"):
        found.service("checkout")


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
    found = Graph(graph(CHAIN)).radius(service)
    assert found == Radius(service, downstream, neighbours)
    told = {"service": service, "downstream": [*downstream], "neighbours": [*neighbours]}
    assert found.as_dict() == {**told, "tier_0": [], "traffic": None, "unknown": ""}


def test_radius_of_an_unknown_service_is_refused() -> None:
    with pytest.raises(InputError, match="not in the catalogue"):
        Graph(graph(CHAIN)).radius("nobody")


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
        assert set(Graph(found).radius(service).downstream) == {
            other for other in SERVICES if other != service and service in reached(other)
        }
        assert (service in reached(service)) == any(service in cycle for cycle in found.cycles())


def test_a_reference_is_in_any_case_and_may_leave_out_kind_and_namespace(load: Load) -> None:
    needs = (
        "Component:default/Orders-API",
        "orders-api",
        "COMPONENT:Stock",
        "Resource:orders-db",
        "api:default/pay",
        "system:shop",
    )
    found = load(component("web", *needs), component("orders-api"), component("stock"))
    assert (found.service("web").depends_on, found.problems) == (("orders-api", "stock"), ())


def test_the_same_name_in_two_namespaces_is_two_services(load: Load) -> None:
    documents = [component("gateway", "db"), component("gateway"), component("db")]
    for document, space in zip(documents, ("payments", "search", "payments"), strict=True):
        document["metadata"]["namespace"] = space
    found = load(*documents)
    assert sorted(found.services) == ["payments/db", "payments/gateway", "search/gateway"]
    assert found.service("payments/gateway").depends_on == ("payments/db",)
    with pytest.raises(InputError) as raised:
        found.service("gateway")
    assert raised.value.cure == "Did you mean payments/gateway, search/gateway?"


def test_what_depends_on_a_service_may_stand_with_it(load: Load) -> None:
    stock = component("stock")
    stock["spec"]["dependencyOf"] = ["component:web"]
    assert Graph(load(stock, component("web"))).radius("stock").downstream == ("web",)


def test_a_name_of_one_letter_is_a_name(load: Load) -> None:
    assert load(component("x")).service("x").name == "x"


@pytest.mark.parametrize("value", ["on", "no", "2026-01-01", "0x1F", "12:30", "1_000", "7", "1.0", "true", "'true'"])
def test_an_annotation_is_text_as_it_is_written(file: Path, value: str) -> None:
    text = f"kind: Component\nmetadata: {{name: web, annotations: {{responder/process: {value}, other: ~}}}}\n"
    file.write_text(text)
    assert catalogue.load(file).service("web").annotations == {"responder/process": value.strip("'")}


def test_an_annotation_that_is_a_list_is_named_with_its_line(file: Path) -> None:
    file.write_text("kind: Component\nmetadata:\n  name: web\n  annotations:\n    example.org/x: [1]\n")
    with pytest.raises(InputError, match=rf"{file}:5: annotation example.org/x is not text"):
        catalogue.load(file)


def test_a_merge_key_is_taken_in_and_its_own_keys_win(file: Path) -> None:
    file.write_text(
        "x-common: &common {example.org/team: a, responder/process: common}\nkind: Component\nmetadata:\n  name: web\n"
        "  annotations:\n    <<: *common\n    responder/process: own\n"
    )
    assert catalogue.load(file).service("web").annotations == {"example.org/team": "a", "responder/process": "own"}


def test_what_is_left_empty_is_as_if_it_were_left_out(file: Path) -> None:
    file.write_text("---\nkind: Component\nmetadata:\n  name: web\n  annotations:\nspec: {owner: , dependsOn: }\n---\n")
    found = catalogue.load(file).service("web")
    assert (found.owner, found.depends_on, found.annotations) == ("unknown", (), {})


def test_a_folder_that_a_cluster_mounts_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_26").mkdir()
    (tmp_path / "..2026_11_26" / "services.yaml").write_text(yaml.safe_dump(component("web")))
    (tmp_path / "..data").symlink_to("..2026_11_26")
    (tmp_path / "services.yaml").symlink_to("..data/services.yaml")
    found = catalogue.load(tmp_path)
    assert (list(found.services), found.problems) == (["web"], ())


def test_files_that_hold_no_entity_are_listed_and_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(yaml.safe_dump(component("web")))
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: x\nmarkdown_extensions: [!!python/name:pymdownx.emoji.to_svg '']\n"
    )
    (tmp_path / "skeleton.yaml").write_text("{% if x %}\nname: {{ values.name }}\n")
    found = catalogue.load(tmp_path)
    assert (list(found.services), found.problems) == (["web"], ())
    assert [file.name for file in found.ignored] == ["mkdocs.yml", "skeleton.yaml"]


def test_one_broken_file_disables_no_other(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(yaml.safe_dump(component("web")))
    (tmp_path / "bad.yml").write_text("kind: Component\nmetadata: {name: [\n")
    found = catalogue.load(tmp_path)
    assert list(found.services) == ["web"]
    assert found.problems[0].startswith(f"{tmp_path / 'bad.yml'}:")


@pytest.mark.parametrize(
    ("listed", "lifecycle", "environments"),
    [
        (None, None, ("production",)),
        (None, "production", ("production",)),
        (None, "experimental", ("production",)),
        (None, "staging", ("staging",)),
        ("dev", "production", ("dev",)),
        ("production, staging", None, ("staging", "production")),
    ],
)
def test_the_catalogue_says_in_which_environments_a_service_exists(
    load: Load, listed: str | None, lifecycle: str | None, environments: tuple[str, ...]
) -> None:
    document = component("web", **({"environments": listed} if listed else {}))
    document["spec"]["lifecycle"] = lifecycle
    found = load(document)
    assert found.service("web").environments == environments
    assert found.environment("web", environments[0]) == environments[0]
    with pytest.raises(InputError, match="gives web no environment canary"):
        found.environment("web", "canary")


@pytest.mark.parametrize("listed", ["", "prod", "production staging", "Production", "dev,,staging"])
def test_a_list_of_environments_that_is_none_is_named(load: Load, listed: str) -> None:
    assert "is not a list of environments" in problems(load, component("web", environments=listed))


def test_an_annotation_of_an_environment_goes_before_the_common_one(load: Load) -> None:
    document = component("web", environments="staging, production", process="common")
    document["metadata"]["annotations"]["staging.responder/process"] = "own"
    found = load(document).service("web")
    assert found.reached("staging")["responder/process"] == "own"
    assert found.reached("production")["responder/process"] == "common"


def leads_to(program: str) -> Callable[[Mapping[str, str]], bool]:
    return lambda way: way.get("responder/process") == program


@pytest.mark.parametrize(
    ("environment", "program", "stricter"),
    [
        ("staging", "common", "web in production"),
        ("production", "common", None),
        ("canary", "own", None),
        ("canary", "common", "web in production"),
        ("canary", "by hand", "web in production"),
    ],
)
def test_a_target_is_that_of_the_strictest_environment_that_reaches_it(
    load: Load, environment: str, program: str, stricter: str | None
) -> None:
    document = component("web", environments="staging, canary, production", process="common")
    document["metadata"]["annotations"]["canary.responder/process"] = "own"
    assert load(document).stricter("web", environment, leads_to(program), {"responder/process": program}) == stricter


def test_ten_thousand_services_in_a_ring_are_one_ring() -> None:
    names = [f"s{number}" for number in range(10_000)]
    found = graph({name: [names[place - 1]] for place, name in enumerate(names)})
    assert found.cycles() == [sorted(names)]
    assert len(Graph(found).radius("s0").downstream) == 9_999


SOUND = "kind: Component\nmetadata:\n  name: web\n  annotations: {responder/environments: dev}\nspec: {dependsOn: [stock]}\n"
BROKEN: dict[str, str] = {
    "an unclosed bracket": "kind: Component\nmetadata:\n  name: pay\n  tags: [a\nspec: {owner: x}\n",
    "an unclosed quote": 'kind: Component\nmetadata:\n  name: pay\n  title: "Pay\n',
    "a tab": "kind: Component\nmetadata:\n\tname: pay\n",
    "wrong columns": "kind: Component\nmetadata:\n   name: pay\n  title: x\n",
    "a colon": "kind: Component\nmetadata:\n  name: pay\n  description: see: this\n",
    "a key given twice": "kind: Component\nmetadata:\n  name: pay\n  name: pay\n",
    "an alias to nothing": "kind: Component\nmetadata:\n  name: pay\nspec: *common\n",
    "a conflict of git": "kind: Component\nmetadata:\n  name: pay\n<<<<<<< HEAD\nspec: {}\n",
    "JSON without its end": '{"kind": "Component", "metadata": {"name": "pay"}\n',
}


@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("what", BROKEN)
def test_a_document_that_is_no_yaml_disables_only_what_it_names(file: Path, what: str, place: str) -> None:
    documents = [SOUND, SOUND.replace("web", "stock")]
    documents.insert({"first": 0, "middle": 1, "last": 2}[place], BROKEN[what])
    file.write_text("---\n".join(documents))
    found = catalogue.load(file)
    assert set(found.services) == {"web", "stock"}
    [problem] = found.problems
    lines = [
        "---\n".join(documents[: documents.index(BROKEN[what])]).count("\n"),
        "---\n".join(documents).count("\n") + 1,
    ]
    assert lines[0] < int(problem.removeprefix(f"{file}:").partition(":")[0]) <= lines[1]
    with pytest.raises(InputError, match=r"service 'pay' cannot be used: .* not valid YAML"):
        found.service("pay")


def test_a_document_that_is_no_yaml_and_has_the_name_of_a_sound_one_disables_both(file: Path) -> None:
    file.write_text(
        f"{SOUND}---\n{SOUND.replace('web', 'stock')}---\n{BROKEN['an unclosed bracket'].replace('pay', 'web')}"
    )
    found = catalogue.load(file)
    with pytest.raises(InputError, match="cannot be used"):
        found.service("web")
    assert "stock" in found.services


def test_a_document_of_another_kind_that_is_no_yaml_disables_nothing(file: Path) -> None:
    file.write_text(f"{SOUND}---\nkind: Group\nmetadata: {{name: web\n")
    found = catalogue.load(file)
    assert (list(found.services), found.unusable, len(found.problems)) == (["web"], {}, 2), found.problems


@pytest.mark.parametrize("reference", ["stock", "component:stock", "Component:default/Stock", "default/stock"])
def test_what_cannot_be_read_counts_as_a_dependent_of_all_that_it_mentions(file: Path, reference: str) -> None:
    hidden = f"kind: Component\nmetadata:\n  name: pay\nspec:\n  dependsOn:\n    - {reference}\n  owner: [\n"
    file.write_text(f"{SOUND}---\n{SOUND.replace('web', 'stock').replace('[stock]', '[]')}---\n{hidden}")
    found = catalogue.load(file)
    assert Graph(found).radius("stock").downstream == ("pay", "web")
    assert Graph(found).radius("web").downstream == ()
    assert found.cycles() == []


def test_a_target_that_what_cannot_be_read_may_have_in_production_is_judged_so(file: Path) -> None:
    hidden = "kind: Component\nmetadata:\n  annotations:\n    responder/program: /srv/pay\n  tags: [\n"
    file.write_text(f"{SOUND}---\n{hidden}")
    found = catalogue.load(file)
    assert "cannot be read" in str(
        found.stricter("web", "dev", leads_to("/srv/pay"), {"responder/process": "/srv/pay"})
    )
    assert found.stricter("web", "dev", leads_to("/srv/web"), {"responder/process": "/srv/web"}) in (None, "web in dev")
    assert found.stricter("web", "dev", leads_to(""), {}) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"kind: Component\nmetadata:\n  name: caf\xe9\n", ":3 is not UTF-8 text (byte 37). Save it as UTF-8."),
        (SOUND.encode("utf-16"), ":1 is not UTF-8 text (byte 0). Save it as UTF-8."),
        (b"kind: Component\nmetadata:\n\tname: x\n", ":3: not valid YAML: "),
    ],
)
def test_a_file_that_is_no_text_is_one_sentence_with_line_and_cure(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "web.yml").write_text(SOUND.replace("[stock]", "[]"))
    (tmp_path / "bad.yml").write_bytes(content)
    found = catalogue.load(tmp_path)
    [problem] = found.problems
    assert problem.startswith(f"{tmp_path / 'bad.yml'}{words}")
    assert "\n" not in problem
    assert ("tabs" in problem) == (b"\t" in content)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + SOUND,
        SOUND.replace("\n", "\r\n"),
        "\ufeff" + SOUND.replace("\n", "\r\n"),
        "---\r\n" + SOUND,
        f"kind: Group\nmetadata: {{name: x}}\n---\n\ufeff{SOUND}",
    ],
)
def test_marks_and_line_ends_of_other_editors_are_in_nobodys_way(file: Path, text: str) -> None:
    file.write_bytes(text.replace("[stock]", "[]").encode())
    found = catalogue.load(file)
    assert (list(found.services), found.problems) == (["web"], ())


@pytest.mark.parametrize(
    "text",
    [
        "kind: Component\nmetadata:\n  name: ${{ values.name | dump }}\n",
        'kind: Component\nmetadata:\n  name: "{{cookiecutter.name}}"\n',
        "kind: Component\nmetadata:\n  name: ${{ values.name }}\n{%- if values.x %}\nspec: {}\n{%- endif %}\n",
    ],
)
def test_a_template_of_an_entity_is_ignored_and_listed(tmp_path: Path, text: str) -> None:
    (tmp_path / "web.yml").write_text(SOUND.replace("[stock]", "[]"))
    (tmp_path / "skeleton.yml").write_text(text)
    found = catalogue.load(tmp_path)
    assert (found.problems, [one.name for one in found.ignored]) == ((), ["skeleton.yml"])


def test_a_subfolder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web.yml").write_text(SOUND.replace("[stock]", "[]"))
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def refused(path: Any = ".") -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refused)
    found = catalogue.load(tmp_path)
    assert list(found.services) == ["web"]
    assert f"{tmp_path / 'closed'} cannot be read: Permission denied." in found.problems[0]


PAY = "kind: Component\nmetadata:\n  name: pay\n"


def test_what_protects_production_is_read_however_it_is_written(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "catalogue", tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    folder.mkdir()
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "deep" / "ring").symlink_to(elsewhere)
    (elsewhere / "deep" / "a.yml").write_text(PAY.replace("pay", "linked"))
    (folder / "b.YAML").write_text(PAY.replace("pay", "capitals"))
    (folder / "c.yml").write_text(PAY.replace("Component", "component").replace("pay", "small"))
    (tmp_path / "catalogue.yml").write_text(PAY)
    home = find({"HOME": str(tmp_path), "RESPONDER_HOME": str(tmp_path)})
    assert set(home.catalogue.services) == {"linked", "capitals", "small", "pay"}
    assert home.catalogue.problems == ()


def test_words_that_are_no_addresses_harm_nobody(file: Path) -> None:
    hidden = "kind: Component\nmetadata:\n  annotations:\n    x: http://[ http://:99999 ://\n  tags: [\n"
    file.write_text(f"{SOUND}---\n{hidden}")
    given = "http://shop.invalid:9001"
    assert catalogue.load(file).stricter("web", "dev", leads_to(""), {"responder/process": given}) is None


def test_blanks_around_an_annotation_say_nothing(load: Load) -> None:
    assert load(component("web", process=" bill ")).service("web").annotations["responder/process"] == "bill"


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("bill", "bill:bill"),
        ("bill:*", "bill"),
        ("http://127.0.0.1:29001", "http://127.1:29001/RPC2"),
        ("/srv/./pay", "/srv/pay"),
    ],
)
def test_a_target_that_what_cannot_be_read_spells_in_another_way_is_judged_so(
    file: Path, written: str, given: str
) -> None:
    hidden = f"kind: Component\nmetadata:\n  annotations:\n    responder/x: {written}\n  tags: [\n"
    file.write_text(f"{SOUND}---\n{hidden}")
    found = catalogue.load(file).stricter("web", "dev", leads_to(given), {"responder/process": given})
    assert "cannot be read" in str(found)
