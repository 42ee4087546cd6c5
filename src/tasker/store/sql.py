"""How statements are written: text with named parameters, what differs between the two databases side by side.

The heart's statements run on the driver's own connection (on PostgreSQL in one pipeline, in which Core cannot read
rows), and an enqueue runs on whatever connection the host brings; so both are text, compiled once per store.
Tables are written `{tasks}`, so that a schema can be put before them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Boolean, Integer, Table

from tasker.store.schema import metadata
from tasker.store.types import Id, JsonText, Moment

_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@dataclass(frozen=True, eq=False)
class Sql:
    """One statement for both databases; `sqlite` only where it differs."""

    postgresql: str
    sqlite: str | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """Many rows in one statement: arrays through `unnest` on PostgreSQL, `executemany` on SQLite.

    Attributes:
        columns: what each row tuple holds, in order.
        conflict: the `on conflict` clause.
    """

    table: Table
    columns: tuple[str, ...]
    conflict: str = ""

    @cached_property
    def sql(self) -> Sql:
        names = ", ".join(self.columns)
        target = f"insert into {{{self.table.name.removeprefix('tasker_')}}} as old ({names})"
        kinds = [_array(self.table, name) for name in self.columns]
        arrays = ", ".join(f"cast(:{name} as {kind}[])" for name, (kind, _) in zip(self.columns, kinds, strict=True))
        values = ", ".join(made.format(f"v.{name}") for name, (_, made) in zip(self.columns, kinds, strict=True))
        return Sql(
            f"{target} select {values} from unnest({arrays}) as v({names}) {self.conflict}",
            # `where true`: without it SQLite reads ON CONFLICT as the ON of a join.
            f"{target} select {', '.join('?' for _ in self.columns)} where true {self.conflict}",
        )

    def arrays(self, rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
        return {name: list(values) for name, values in zip(self.columns, zip(*rows, strict=True), strict=True)}


def _array(table: Table, name: str) -> tuple[str, str]:
    kind = table.c[name].type
    if isinstance(kind, Moment):
        return "float8", "to_timestamp({})"
    if isinstance(kind, JsonText):
        return "text", "cast({} as json)"
    if kind is Id:
        return "uuid", "{}"
    if isinstance(kind, Boolean):
        return "boolean", "{}"
    return ("bigint", "{}") if isinstance(kind, Integer) else ("text", "{}")


class Compiler:
    """Turns `Sql` into what one driver takes, with one schema; each statement once."""

    def __init__(self, dialect: str, schema: str | None) -> None:
        self.dialect = dialect
        prefix = f'"{schema}".' if schema else ""
        self._tables = {name.removeprefix("tasker_"): prefix + name for name in metadata.tables}
        self._compiled: dict[Sql, str] = {}

    def __call__(self, sql: Sql) -> str:
        found = self._compiled.get(sql)
        if found is None:
            found = self._compiled[sql] = self._compile(sql)
        return found

    def _compile(self, sql: Sql) -> str:
        if self.dialect == "sqlite":
            return (sql.postgresql if sql.sqlite is None else sql.sqlite).format(**self._tables)
        return _PARAMETER.sub(r"%(\1)s", sql.postgresql.format(**self._tables).replace("%", "%%"))
