"""Storages that cannot be used are told before the first trial."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from searches import STORAGES, begin, complete

from optimizer.core.errors import StoreError
from optimizer.training.tuning import storage as module
from optimizer.training.tuning.storage import open_storage


@pytest.mark.parametrize("storage", STORAGES, ids=["sqlite", "journal"])
def test_storage_makes_its_directory_and_keeps_what_is_there(storage: str, tmp_path: Path) -> None:
    url = storage.format(tmp_path / "new" / "folder")
    complete(*begin(url), 2)
    open_storage(url)
    assert len(begin(url)[0].trials) == 2


def test_locked_database_is_told_and_works_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.05)
    url = STORAGES[0].format(tmp_path)
    begin(url)
    with closing(sqlite3.connect(tmp_path / "studies.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"^search\.storage: got .*locked") as caught:
            open_storage(url)
        other.rollback()
    assert url in str(caught.value.seen)
    assert "sqlite:///studies.db" in caught.value.allowed
    assert "end what locks it" in caught.value.fix
    assert len(open_storage(url).get_all_studies()) == 1


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal:"])
def test_directory_is_no_storage(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^search\.storage: got ") as caught:
        open_storage(f"{scheme}{tmp_path}")
    assert str(tmp_path) in str(caught.value.seen)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal:"])
def test_file_in_the_place_of_a_directory_is_told(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match="taken/studies"):
        open_storage(f"{scheme}{tmp_path}/taken/studies")


def test_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    text = "no database, but longer than the head of one" * 5
    (tmp_path / "studies.db").write_text(text)
    with pytest.raises(StoreError, match="not a database"):
        open_storage(STORAGES[0].format(tmp_path))
    assert (tmp_path / "studies.db").read_text() == text


@pytest.mark.parametrize("text", ['{"study": 1}\n', "[1]\n", "no\njournal\n"])
def test_file_that_is_no_journal_is_told_and_left_as_it_is(text: str, tmp_path: Path) -> None:
    (tmp_path / "studies.log").write_text(text)
    with pytest.raises(StoreError, match=r"^search\.storage: got "):
        open_storage(STORAGES[1].format(tmp_path))
    assert (tmp_path / "studies.log").read_text() == text


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://host/db", "redis://host"])
def test_unknown_storage_is_told(url: str) -> None:
    with pytest.raises(StoreError, match=r"^search\.storage: got .*journal:studies\.log"):
        open_storage(url)
