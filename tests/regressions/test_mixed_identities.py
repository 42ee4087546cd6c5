"""enqueue_many with keys for some contexts and none for others."""

from __future__ import annotations

import pytest

from tasker import Tasker


@pytest.mark.parametrize("keys", [["1", None], [None, "1"]], ids=["first", "last"])
def test_a_key_of_one_task_holds_beside_tasks_without(app: Tasker, keys: list[str | None]) -> None:
    """Of many, those with a key are found again the second time, those without are made again."""
    ship = app.template("ship")
    ship.step(lambda: 1, name="one")
    contexts = [{"key": key} for key in keys]
    first = ship.enqueue_many(contexts, idempotency_key=lambda context: context["key"])
    second = ship.enqueue_many(contexts, idempotency_key=lambda context: context["key"])
    alone = ship.enqueue({"key": "1"}, idempotency_key="1")
    keyed = keys.index("1")
    assert [task.created for task in first] == [True, True]
    assert [task.created for task in second] == [key is None for key in keys]
    assert (second[keyed].id, alone.id, alone.created) == (first[keyed].id, first[keyed].id, False)
