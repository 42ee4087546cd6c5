"""Faults: what a driver's error means for whoever asked, on either database.

`OwnershipLost` and `StoreUnavailable` are for people too; the other two stay between store and engine.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout

from tasker.errors import OwnershipLost, StoreError, StoreUnavailable


class Again(StoreError):
    """A deadlock, a lock or a statement timeout: nothing was written; the same may be tried again."""


class Refused(StoreError):
    """The database refuses the rows themselves: trying again is pointless, leaving one out may help."""


_AGAIN_STATES = {"40001", "40P01", "55P03", "57014"}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def fault(error: BaseException) -> BaseException:
    """Translate a driver's error; what is not a driver's is given back as it is.

    Example:
        >>> import sqlite3
        >>> type(fault(sqlite3.IntegrityError("no"))).__name__
        'Refused'
    """
    original: Any = getattr(error, "orig", None) or error
    if isinstance(original, PoolTimeout):
        return StoreUnavailable(f"all connections of this process are in use: {original}")
    if isinstance(original, sqlite3.Error):
        return _of_sqlite(original)
    if type(original).__module__.startswith("psycopg"):
        return _of_postgres(original)
    if isinstance(original, UnicodeEncodeError | OverflowError):
        return Refused(str(original))
    return error


def _of_sqlite(error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return Again(f"the database is busy: {error}")
    if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError | sqlite3.ProgrammingError
    ):
        return StoreUnavailable(f"SQLite says: {error}")
    return Refused(str(error))


def _of_postgres(error: Any) -> StoreError:
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if state == "22012":  # division by zero: the fence found no live worker row
        return OwnershipLost("this worker was declared dead: another may own its tasks now")
    if state in _AGAIN_STATES:
        return Again(str(error))
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) or state[:2] in ("57", "08", "53", "25"):
        return StoreUnavailable(f"PostgreSQL says: {' '.join(str(error).split())}")
    return Refused(str(error))
