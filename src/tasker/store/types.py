"""Column types: what a value is on each database, and the one form it has in Python."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, TIMESTAMP, Dialect, Float, String, Text, TypeDecorator, Uuid, cast
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.types import TypeEngine

Id = Uuid(as_uuid=False).with_variant(String(36), "sqlite")
"""An id: `uuid` on PostgreSQL, text on SQLite; in Python a string with dashes."""


class Moment(TypeDecorator[float]):
    """A moment: `timestamptz` on PostgreSQL, a real number on SQLite; in Python Unix seconds."""

    impl = Float
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Float(53)

    def process_bind_param(self, value: float | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "postgresql":
            return value
        return datetime.fromtimestamp(value, UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        return value.timestamp() if isinstance(value, datetime) else value


class JsonText(TypeDecorator[str]):
    """A payload: `json` on PostgreSQL, text on SQLite; in Python the text of our own encoding, untouched."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        # `json`, not `jsonb`: the text is kept as it was written, and writing it costs half.
        return dialect.type_descriptor(JSON() if dialect.name == "postgresql" else Text())

    def bind_processor(self, dialect: Dialect) -> None:
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        return None

    def bind_expression(self, bindparam: BindParameter[Any]) -> ColumnElement[Any]:
        return cast(cast(bindparam, Text), _Cast())

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(column, Text)


class _Cast(TypeDecorator[str]):
    """What a payload's text is cast to when it is written."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSON() if dialect.name == "postgresql" else Text())
