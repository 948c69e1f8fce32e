"""What a search leaves where its file is wanted, however often it is stopped and begun again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from effnet_lab.studies.mixed_keeping import Keeper


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """A function that makes a file of an expected loss; its content is its name."""

    def make(name: str, loss: float) -> Any:
        path = tmp_path / name
        path.write_text(name)
        return SimpleNamespace(path=path, choice=SimpleNamespace(loss=loss))

    return make


def keeper(folder: Path, question: str = "bytes") -> Keeper:
    return Keeper(out=folder / "out.tflite", mark=folder / "kept.json", question=question)


def left(folder: Path) -> str:
    return (folder / "out.tflite").read_text()


def test_a_search_that_begins_again_takes_no_better_file_back(tmp_path: Path, file: Any) -> None:
    for name, loss, there in (
        ("int4", 3.0, "int4"),
        ("mixed", 1.0, "mixed"),
        ("int4", 3.0, "mixed"),
        ("int8", 0.5, "int8"),
    ):
        keeper(tmp_path).better(file(name, loss))
        assert left(tmp_path) == there


def test_an_answer_gives_way_to_an_answer_only(tmp_path: Path, file: Any) -> None:
    keeper(tmp_path).last(file("answer", 2.0))
    keeper(tmp_path).better(file("early", 0.0))
    assert left(tmp_path) == "answer"
    keeper(tmp_path).last(file("measured anew", 3.0))
    assert left(tmp_path) == "measured anew"


def test_what_answers_another_question_or_nobody_put_there_gives_way(tmp_path: Path, file: Any) -> None:
    keeper(tmp_path).last(file("answer", 2.0))
    keeper(tmp_path, "arena").better(file("another", 5.0))
    assert left(tmp_path) == "another"
    (tmp_path / "out.tflite").write_text("somebody's")
    keeper(tmp_path, "arena").better(file("ours", 9.0))
    assert left(tmp_path) == "ours"
