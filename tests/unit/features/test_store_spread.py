"""Weeks written side by side: the same files and manifest, and a broken run is mended as ever."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stores import moment, moving_panel, schema_of

from optimizer.core.errors import StoreError
from optimizer.features.store import partitions, weeks
from optimizer.features.store.integrity import check_files
from optimizer.features.store.manifest import FILE, read_manifest
from optimizer.features.store.partitions import store_range

PANEL = moving_panel()
SCHEMA = schema_of(PANEL)


def content(directory: Path) -> dict[str, bytes]:
    """Return every file that a reader sees, byte by byte."""
    files = [*directory.rglob("*.parquet"), directory / FILE]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("whole")
    store_range(directory, PANEL, SCHEMA)
    return content(directory)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


def test_threads_write_the_same_bytes(
    tmp_path: Path, whole: dict[str, bytes], threads: ThreadPoolExecutor
) -> None:
    done = store_range(tmp_path, PANEL, SCHEMA, map_fn=threads.map)
    assert content(tmp_path) == whole
    again = store_range(tmp_path, PANEL, SCHEMA, map_fn=threads.map)
    assert (again.written, again.kept) == ((), done.written)
    assert content(tmp_path) == whole


def test_processes_write_the_same_bytes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        store_range(tmp_path, PANEL, SCHEMA, moment(PANEL, 200), map_fn=pool.map)
        store_range(tmp_path, PANEL, SCHEMA, map_fn=pool.map)  # backwards, and into a week
    store_range(tmp_path / "here", PANEL, SCHEMA, moment(PANEL, 200))
    store_range(tmp_path / "here", PANEL, SCHEMA)
    here = content(tmp_path / "here")
    assert {name: (tmp_path / name).read_bytes() for name in here} == here
    assert here.keys() == whole.keys()


def test_an_engine_is_given_a_few_weeks_at_a_time_that_can_be_pickled(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def map_fn(function: Callable[[Any], Any], jobs: list[Any]) -> list[Any]:
        given.append(len(jobs))
        call, sent = pickle.loads(pickle.dumps((function, jobs)))
        return [pickle.loads(pickle.dumps(call(job))) for job in reversed(sent)][::-1]

    SCHEMA.views  # noqa: B018 - what is derived from a schema does not travel
    monkeypatch.setattr(partitions, "AHEAD", 3)
    done = store_range(tmp_path, PANEL, SCHEMA, map_fn=map_fn)
    assert max(given) == 3
    assert sum(given) == len(done.written)
    assert content(tmp_path) == whole
    store_range(tmp_path, PANEL, SCHEMA, map_fn=map_fn)
    assert sum(given) == len(done.written)  # nothing to do: not even asked


def dying(function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
    """Lose the second result, as an engine does whose worker dies."""
    for number, job in enumerate(jobs, 1):
        result = function(job)
        if number == 2:
            raise OSError("a worker died")
        yield result


def failing(function: Callable[[Any], Any], jobs: Iterable[Any]) -> list[Any]:
    """Call the function for every week, the second of which cannot be written."""
    results = []
    for number, job in enumerate(jobs, 1):
        with pytest.MonkeyPatch.context() as patch:
            if number == 2:
                patch.setattr(weeks, "_replace_rows", _full)
            results.append(function(job))
    return results


def _full(*_: Any) -> int:
    raise OSError("disk full")


@pytest.mark.parametrize(("map_fn", "told"), [(dying, "worker died"), (failing, "disk full")])
def test_weeks_after_one_that_failed_are_pending_and_mended(
    tmp_path: Path, whole: dict[str, bytes], map_fn: partitions.MapFunction, told: str
) -> None:
    with pytest.raises(OSError, match=told):
        store_range(tmp_path, PANEL, SCHEMA, map_fn=map_fn)
    known = read_manifest(tmp_path)
    assert known is not None
    pending = [week.pending for week in known.partitions.values()]
    assert pending == [False, *[True] * (len(pending) - 1)]
    assert known.last.isoformat() == next(iter(known.partitions.values())).last
    with pytest.raises(StoreError, match="a write that broke off"):
        check_files(tmp_path, known, SCHEMA, reading=True)
    done = store_range(tmp_path, PANEL, SCHEMA)
    assert len(done.kept) == 1
    assert content(tmp_path) == whole


def test_an_error_is_raised_when_no_week_is_being_written_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: ThreadPoolExecutor
) -> None:
    ended = []

    def write(job: weeks.WeekJob) -> dict[str, int]:
        if job.first == moment(PANEL, 0):
            raise OSError("disk full")
        time.sleep(0.1)
        ended.append(job.week)
        return {}

    monkeypatch.setattr(weeks, "_write_week", write)
    with pytest.raises(OSError, match="disk full") as caught:
        store_range(tmp_path, PANEL, SCHEMA, map_fn=threads.map)
    known = read_manifest(tmp_path)
    assert known is not None
    assert len(ended) == len(known.partitions) - 1
    assert "while writing week" in caught.value.__notes__[0]
