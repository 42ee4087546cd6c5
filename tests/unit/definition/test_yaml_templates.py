"""Templates as YAML: every key, any order of steps, environments, and ready handlers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

FULL = """
name: fulfil_order
namespace: shop
version: 1.0.0
serves: ["0.9"]
context_schema: {type: object, required: [order_id], properties: {order_id: {type: integer}}}
description: from paid to shipped
on_failure: stop
result: reserve_stock
identity: context
identity_window: 60
deadline: 3600
queue: orders
priority: 5
retry: {max_attempts: 2}
timeout: 9
steps:
  - name: reserve_stock
    depends_on: [fetch-order]
    inputs: {order: fetch-order}
    handler: shopyaml.handlers:reserve_stock
  - name: fetch-order
    handler: shopyaml.handlers.fetch_order
    description: asks the shop
    config: {url: "${SHOP_URL:-http://localhost:9000}", rate: 1}
    retry:
      max_attempts: 5
      backoff: {first: 0.5, factor: 2, cap: 300}
      permanent: [ValueError, "shopyaml.handlers:Down"]
      max_retry_after: 60
    timeout: 10
    system: shop
    priority: 7
    max_wait: 100
  - name: charge
    http: {method: POST, url: "http://localhost", json: {order: 1}}
    depends_on: fetch-order
environments:
  development:
    timeout: 1
    steps: [{name: fetch-order, config: {url: "http://localhost:1"}}]
  test: {}
"""


def test_every_key_acts(files: Any) -> None:
    """A template written as YAML is the template that Python would write."""
    (draft,) = files(FULL)
    sealed = draft.seal()
    assert (sealed.ref, sealed.serves, sealed.identity_window) == ("shop/fulfil_order@1.0.0", ("0.9",), 60)
    policy = sealed.policy
    assert (policy.on_failure, policy.deadline, policy.queue, policy.priority) == ("stop", 3600, "orders", 5)
    fetch = policy.steps["fetch-order"]
    assert (fetch.timeout, fetch.system, fetch.priority, fetch.max_wait) == (10, "shop", 7, 100)
    assert (fetch.description, fetch.retry.max_attempts, fetch.retry.max_retry_after) == ("asks the shop", 5, 60)
    assert fetch.retry.backoff.first == 0.5
    assert fetch.retry.permanent == (ValueError, sys.modules["shopyaml.handlers"].Down)
    assert (policy.steps["reserve_stock"].retry.max_attempts, policy.steps["reserve_stock"].timeout) == (2, 9)
    assert sealed.encode_context({"order_id": 1}) == '{"order_id":1}'
    assert sealed.identity_of({}, "{}") is not None
    assert sealed.handlers["charge"].fn(None) == ["POST", "http://localhost", {"order": 1}]


def test_steps_may_stand_in_any_order(files: Any) -> None:
    """Steps are put into an order in which parents come first, and otherwise keep theirs."""
    (draft,) = files(FULL)
    shape = draft.seal().shape
    assert [step.name for step in shape.steps] == ["fetch-order", "reserve_stock", "charge"]
    assert shape.step("reserve_stock").inputs == (("order", "fetch-order"),)
    assert shape.step("charge").parents == ("fetch-order",)


def test_a_parameter_that_is_called_like_a_step_is_its_child(files: Any) -> None:
    """Parameters are dependencies here too, whatever the order of the file."""
    (draft,) = files("""
name: x
steps:
  - {name: report_tax, handler: "shopyaml.handlers:report_tax"}
  - {name: fetch_order, handler: "shopyaml.handlers:fetch_order"}
""")
    assert draft.seal().shape.step("report_tax").inputs == (("fetch_order", "fetch_order"),)
    assert draft.steps == ["fetch_order", "report_tax"]


def test_variables_are_kept_as_written(files: Any) -> None:
    """`${VAR}` is stored as written: no secret reaches the database, and all hosts store the same."""
    (draft,) = files(FULL)
    assert draft.seal().policy.steps["fetch-order"].config["url"] == "${SHOP_URL:-http://localhost:9000}"


def test_an_environment_is_merged_over_the_base(files: Any) -> None:
    """The section of this environment changes single values, steps by name; the shape stays."""
    (base,) = files(FULL)
    (changed,) = files(FULL, env="development")
    fetch = changed.seal().policy.steps["fetch-order"]
    assert fetch.config == {"url": "http://localhost:1", "rate": 1}
    assert changed.seal().policy.steps["charge"].timeout == 1
    assert changed.seal().shape == base.seal().shape


def test_contexts_identities_and_backoffs_may_be_paths(files: Any) -> None:
    """A model, an identity function and a backoff function are named by their dotted paths."""
    (draft,) = files("""
name: x
context: shopyaml.handlers:Order
identity: shopyaml.handlers:key
steps:
  - {name: a, handler: "shopyaml.handlers:lonely", retry: {backoff: "shopyaml.handlers:pause"}}
  - {name: b, handler: "shopyaml.handlers:Nested.inner", retry: {backoff: [1, 2], permanent: KeyError}}
""")
    sealed = draft.seal()
    assert sealed.encode_context({"order_id": "1"}) == '{"order_id":1}'
    assert sealed.identity_of({}, '{"order_id":1}') == "k"
    assert sealed.policy.steps["a"].retry.backoff.pause(9, lambda: 0.5) == 5
    assert sealed.policy.steps["b"].retry.backoff.pause(9, lambda: 0.5) == 2


def test_many_files_and_documents_are_many_templates(files: Any, tmp_path: Path) -> None:
    """Each document is a template; a file that two patterns match is read once."""
    one = "name: {}\nsteps: [{{name: a, handler: shopyaml.handlers.lonely}}]\n"
    (tmp_path / "tasks" / "b.yaml").write_text(one.format("y") + "---\n" + one.format("z") + "---\n")
    drafts = files(one.format("x"), patterns=["tasks/*.yaml", tmp_path / "tasks" / "a.yaml", "**/b.yaml"])
    assert [draft.name for draft in drafts] == ["x", "y", "z"]


def test_merge_keys_of_yaml_work(files: Any) -> None:
    """Anchors and `<<` are YAML's own and are allowed."""
    (draft,) = files("""
name: x
steps:
  - &base {name: a, handler: shopyaml.handlers.lonely, timeout: 3}
  - {<<: *base, name: b}
""")
    assert draft.seal().policy.steps["b"].timeout == 3
