"""Files that people write: every error names file, line, key and cure, and none is a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from sre_responder.errors import InputError
from sre_responder.home.documents import line_of, read_documents, read_model, read_text


class Pair(BaseModel):
    one: int = 0
    many: list[int] = []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yml"


def test_each_document_comes_with_the_line_at_which_it_begins(file: Path) -> None:
    file.write_text("a: 1\n---\n# a comment\nb: 2\n---\n- c\n")
    found = [(value, node.start_mark.line + 1) for value, node in read_documents(file)]
    assert found == [({"a": 1}, 1), ({"b": 2}, 4), (["c"], 6)]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("a: 1\nb: [2\n", 3, "not valid YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' is given twice"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "key 'c' is given twice"),
        ("a: 1\n---\nb: 1\nb: 2\n", 4, "key 'b' is given twice"),
        ("a: 1\n---\nb: !surprise 2\n", 3, "!surprise"),
        ("a: 1\nb: 2026-13-45\n", 2, "2026-13-45"),
        ("a: 1\n[b, c]: 2\n", 2, "key"),
    ],
)
def test_what_is_not_sound_yaml_is_named_with_its_line(file: Path, content: str, line: int, words: str) -> None:
    file.write_text(content)
    with pytest.raises(InputError) as raised:
        list(read_documents(file))
    assert raised.value.message.startswith(f"{file}:{line}: ")
    assert words in raised.value.message
    assert raised.value.cure


@given(st.text(max_size=60))
@example("[" * 5000)
@example("? {a: b}\n: c")
@example("!!int x")
@example("!!timestamp x")
@example("&a [*a]")
@example("\x01")
def test_any_text_is_documents_or_bad_input(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_text(text, encoding="utf-8", newline="")
    try:
        found = list(read_documents(file))
    except InputError as error:
        assert str(file) in error.message
    else:
        assert len(found) == len(list(yaml.compose_all(text)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: caf\xe9\n", "not UTF-8 text (byte 6)"),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_readable_text_is_named(file: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_text(file)
    assert str(file) in raised.value.message
    assert words in raised.value.message
    assert raised.value.cure


def test_a_file_of_one_mebibyte_is_read(file: Path) -> None:
    file.write_bytes(b"#" * 1024 * 1024)
    assert len(read_text(file)) == 1024 * 1024


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one: x\n", "1: one: Input should be a valid integer, unable to parse string as an integer"),
        ("one: 1\nmany:\n  - 1\n  - x\n", "4: many.1: Input should be a valid integer, unable to parse string as an integer"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_by_line_and_key(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(InputError) as raised:
        read_model(Pair, file)
    assert raised.value.message == f"{file}:{message}"


def test_every_wrong_value_is_told_at_once(file: Path) -> None:
    file.write_text("one: x\nmany: [y, z]\n")
    with pytest.raises(InputError) as raised:
        read_model(Pair, file)
    assert len(raised.value.message.splitlines()) == 3


@pytest.mark.parametrize("content", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file_is_every_default(file: Path, content: str) -> None:
    file.write_text(content)
    assert read_model(Pair, file) == Pair()


def test_a_second_document_is_refused_where_one_is_meant(file: Path) -> None:
    file.write_text("one: 1\n---\none: 2\n")
    with pytest.raises(InputError, match="holds 2 documents"):
        read_model(Pair, file)


@given(
    st.lists(st.integers(), min_size=1, max_size=5).flatmap(lambda many: st.tuples(st.just(many), st.integers(0, 4)))
)
def test_the_line_of_an_item_is_where_it_is_written(case: tuple[list[int], int]) -> None:
    many, index = case
    node = yaml.compose("many:\n" + "".join(f"  - {number}\n" for number in many))
    assert line_of(node, ("many", index)) == (index + 2 if index < len(many) else 1)
