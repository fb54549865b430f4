"""Where studies are kept: SQLite, PostgreSQL or a journal file, checked before the first trial."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from optimizer.core.errors import StoreError, first_line

WAIT_SECONDS = 100.0
"""How long a writer waits for another one; several processes share a study."""
CHECK_SECONDS = 5.0
JOURNAL = "journal:"


def open_storage(url: str) -> Any:
    """Return Optuna's storage behind a URL.

    ``url``: ``sqlite:///studies.db``, ``postgresql+psycopg://user@host/db`` or
    ``journal:studies.log``. Raises StoreError: it cannot be opened or written to.
    """
    import optuna

    if url.startswith(JOURNAL):
        return _open_journal(url, Path(url.removeprefix(JOURNAL)))
    if url.startswith("sqlite:///"):
        _check_sqlite(url, Path(url.removeprefix("sqlite:///")))
    wait = {"connect_args": {"timeout": WAIT_SECONDS}} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=wait | {"pool_pre_ping": True})
    except Exception as error:  # SQLAlchemy's, the driver's or Optuna's own
        raise _refused(url, error) from error


def _check_sqlite(url: str, path: Path) -> None:
    """Raise unless the database can be written to now."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=CHECK_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA user_version = 0")  # a write, which read-only files refuse
            connection.rollback()
    except (OSError, sqlite3.Error) as error:
        raise _refused(url, error) from error


def _open_journal(url: str, path: Path) -> Any:
    """Return the storage of a journal file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("ab").close()
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, ValueError, KeyError, TypeError) as error:  # the last three: no journal
        raise _refused(url, error) from error


def _refused(url: str, error: Exception) -> StoreError:
    """Return the error of a storage that cannot be used."""
    return StoreError(
        "search.storage",
        seen=f"{url!r} ({first_line(error)})",
        allowed="a database or journal file that can be written to: sqlite:///studies.db, "
        "postgresql+psycopg://user@host/db, journal:studies.log",
        fix="end what locks it, correct its permissions or choose another search.storage",
    )
