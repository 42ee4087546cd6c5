"""Shape and policy, versions and `serves`: a task runs to its end under the shape it was enqueued with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tasker import DefinitionError, NotFound, PermanentError, Retry, Tasker, Template
from tasker.testing import FakeClock, run_until_idle
from tasker.testing.clock import StoreClock


@pytest.fixture
def deploys(emptied_url: str, clock: FakeClock) -> Iterator[Callable[..., Any]]:
    """Another process with other code on the same database: `with deploys(env="production") as app`."""

    @contextmanager
    def deploy(env: str = "test") -> Iterator[Tasker]:
        app = Tasker(emptied_url, env=env, sqlite_synchronous="normal")
        with app.bound(clock=StoreClock(clock)):
            yield app

    return deploy


def fetch() -> int:
    return 1


def double(fetch: int) -> int:
    return fetch * 2


def triple(fetch: int) -> int:
    return fetch * 3


def fulfil(app: Tasker, *handlers: Callable[..., Any], **options: Any) -> Template[Any]:
    template = app.template("fulfil", namespace="shop", **options)
    for handler in handlers:
        template.step(handler)
    return template


def test_an_old_task_ends_under_its_own_shape(deploys: Any) -> None:
    """`serves` lets the new code's handlers run the old graph: no step is added to it, its results are its own leaves."""
    with deploys() as old:
        task = fulfil(old, fetch, double, version="1.0.0").enqueue()
    with deploys() as new:
        template = fulfil(new, fetch, double, triple, version="1.1.0", serves=["1.0.0"])
        newer = template.enqueue()
        run_until_idle(new)
        assert new.task(task.id).result(timeout=0) == {"double": 2}
        assert list(new.task(task.id).steps) == ["fetch", "double"]
        assert newer.result(timeout=0) == {"double": 2, "triple": 3}


def test_an_old_task_waits_where_nobody_serves_it(deploys: Any) -> None:
    """Without `serves` a worker claims only its own version; why() says who is missing."""
    with deploys() as old:
        task = fulfil(old, fetch, version="1.0.0").enqueue()
    with deploys() as new:
        fulfil(new, fetch, version="2.0.0")
        run_until_idle(new)
        assert new.task(task.id).state == "pending"
        assert new.task(task.id).why()[0].code in ("template_unserved", "queue_unserved")


def test_serves_is_refused_where_a_handler_is_missing(deploys: Any) -> None:
    """At the worker's start, not when the step should run; the step is named."""
    with deploys() as old:
        fulfil(old, fetch, double, version="1.0.0").enqueue()
    with deploys() as new:
        fulfil(new, fetch, version="1.1.0", serves=["1.0.0"])
        with pytest.raises(DefinitionError, match=r"serves=\['1.0.0'\], but .* step 'double' has no handler here"):
            run_until_idle(new)


def test_serves_is_refused_where_an_input_is_missing(deploys: Any) -> None:
    """A handler that wants what the old shape does not give cannot run it."""

    def greedy(fetch: int, double: int) -> int:
        return fetch + double

    with deploys() as old:
        template = fulfil(old, fetch, double, version="1.0.0")
        template.step(lambda fetch: fetch, name="sum")
        template.enqueue()
    with deploys() as new:
        template = fulfil(new, fetch, double, version="1.1.0", serves=["1.0.0"])
        template.step(greedy, name="sum")
        with pytest.raises(
            DefinitionError, match="step 'sum': its handler wants 'double', which that shape does not give"
        ):
            run_until_idle(new)


def test_another_shape_of_the_same_version_in_development(deploys: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It is allowed, loudly: the difference and the number of unfinished tasks are logged; both graphs run."""
    with deploys() as old:
        task = fulfil(old, fetch, double).enqueue()
    with deploys() as new, caplog.at_level(logging.WARNING, "tasker"):
        newer = fulfil(new, fetch, double, triple).enqueue()
        run_until_idle(new)
        assert "shop/fulfil@0.1.0 has a new shape (+ triple). 1 unfinished tasks keep the old one" in caplog.text
        assert new.task(task.id).result(timeout=0) == {"double": 2}
        assert newer.result(timeout=0) == {"double": 2, "triple": 3}


def test_another_shape_of_the_same_version_in_production(deploys: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Refused when a worker starts, with the version to write; never inside a request: an enqueue is stored."""
    with deploys() as old:
        fulfil(old, fetch, double).enqueue()
    with deploys("production") as new, caplog.at_level(logging.WARNING, "tasker"):
        template = fulfil(new, fetch, double, triple)
        task = template.enqueue()
        assert list(new.task(task.id).steps) == ["fetch", "double"]  # the stored shape
        assert "+ triple" in caplog.text
        with pytest.raises(DefinitionError, match=r'version="0.1.1", serves=\["0.1.0"\]'):
            run_until_idle(new)


def test_a_docstring_is_no_new_shape(deploys: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Policy may change under waiting tasks: the retry of the worker's own code holds for them."""

    def broken() -> None:
        raise ValueError("broken")

    with deploys() as old:
        template = fulfil(old, description="first words")
        template.step(broken, retry=Retry(max_attempts=1))
        task = template.enqueue()
    with deploys("production") as new, caplog.at_level(logging.WARNING, "tasker"):
        template = fulfil(new, description="other words")
        template.step(broken, retry=Retry(max_attempts=5), timeout=30, description="words")
        run_until_idle(new)
        assert new.task(task.id).steps["broken"].attempts == 5
        assert "new shape" not in caplog.text


def test_the_newest_version_is_the_default(tasker: Tasker) -> None:
    """By PEP 440, not by string: 1.10 is newer than 1.9."""
    for version in ("1.9.0", "1.10.0", "1.2.0"):
        fulfil(tasker, fetch, version=version)
    assert tasker.enqueue("shop/fulfil").template == "shop/fulfil@1.10.0"
    assert tasker.enqueue("shop/fulfil@1.2.0").template == "shop/fulfil@1.2.0"
    with pytest.raises(NotFound, match="fulfil"):
        tasker.enqueue("shop/fulfil@3.0.0")
    with pytest.raises(NotFound):
        tasker.enqueue("shop/fulfill")


def test_a_process_without_the_code_can_read_and_operate(deploys: Any) -> None:
    """The stored shape and policy are enough to show steps, explain and act."""
    with deploys() as old:
        template = fulfil(old)

        @template.step
        def broken() -> int:
            raise PermanentError("no")

        task = template.enqueue()
        run_until_idle(old)
    with deploys() as operator:
        found = operator.task(task.id)
        assert (found.state, list(found.steps)) == ("error", ["broken"])
        found.resolve("broken", 7, reason="by hand")
        assert found.steps["broken"].results == 7
        assert [reason.code for reason in found.why()] == ["queue_unserved"]


def test_steps_by_function_of_an_older_version(deploys: Any) -> None:
    """The code of the new version reads the results of tasks that the old one made."""
    with deploys() as old:
        task = fulfil(old, fetch, double, version="1.0.0").enqueue()
    with deploys() as new:
        fulfil(new, fetch, double, triple, version="1.1.0", serves=["1.0.0"])
        run_until_idle(new)
        found = new.task(task.id)
        assert found.steps[double].results == 2
        with pytest.raises(KeyError, match="triple"):
            _ = found.steps[triple]
