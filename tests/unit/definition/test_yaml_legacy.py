"""YAML of the earlier Tasker: what of it loads, and what is refused because it does nothing here."""

from __future__ import annotations

from typing import Any

import pytest

from tasker.errors import DefinitionError

LEGACY = """
name: fulfil_order
namespace_name: shop
version: 1.0.0
description: as it was
schema: {type: object, required: [order_id], properties: {order_id: {type: integer}}}
default_dependent_system: ecommerce
named_steps: [fetch_order, report_tax, check]
step_templates:
  - name: fetch_order
    description: asks the shop
    handler_class: shopyaml.handlers.fetch_order
    handler_config: {url: "http://localhost"}
    default_retry_limit: 5
    default_retryable: true
  - name: report_tax
    depends_on_step: fetch_order
    handler_class: shopyaml.handlers:report_tax
    dependent_system: tax
    default_retryable: false
  - name: check
    depends_on_steps: [fetch_order, report_tax]
    handler_class: shopyaml.handlers.Reporter
environments:
  development:
    step_templates: [{name: fetch_order, handler_config: {url: "http://localhost:1"}}]
"""


def test_the_earlier_taskers_yaml_loads(files: Any) -> None:
    """Each key of the earlier form acts as it did there."""
    (draft,) = files(LEGACY)
    sealed = draft.seal()
    assert (sealed.ref, sealed.policy.description) == ("shop/fulfil_order@1.0.0", "as it was")
    assert sealed.policy.context_schema is not None
    steps = sealed.policy.steps
    assert {name: step.system for name, step in steps.items()} == {
        "fetch_order": "ecommerce",
        "report_tax": "tax",
        "check": "ecommerce",
    }
    assert (steps["fetch_order"].retry.max_attempts, steps["report_tax"].retry.retryable) == (5, False)
    assert (steps["fetch_order"].config, steps["fetch_order"].description) == (
        {"url": "http://localhost"},
        "asks the shop",
    )
    assert sealed.shape.step("check").parents == ("fetch_order", "report_tax")
    assert sealed.handlers["check"].fn(context={"a": 1}) == {"a": 1}


def test_environments_of_the_earlier_form_are_merged(files: Any) -> None:
    """Sections of the earlier form change steps by name too."""
    (draft,) = files(LEGACY, env="development")
    assert draft.seal().policy.steps["fetch_order"].config == {"url": "http://localhost:1"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "description: as it was",
            "task_handler_class: X",
            "no key 'task_handler_class'. It does nothing here: a template needs no class",
        ),
        (
            "    default_retryable: true",
            "    skippable: true",
            "step 'fetch_order' (tasks/a.yaml:10): no key 'skippable'",
        ),
        (
            "named_steps: [fetch_order,",
            "named_steps: [fetch_oder,",
            "step 'fetch_order' is not in named_steps. Did you mean 'fetch_oder'",
        ),
        (
            "depends_on_step: fetch_order",
            "depends_on_step: fetch_oder",
            "depends_on names 'fetch_oder', which is no step",
        ),
        ("depends_on_step: fetch_order", "depends_on_step: x\n    depends_on_steps: [x]", "both name 'x'"),
        (
            "handler_class: shopyaml.handlers.fetch_order",
            "handler_class: Shop::FetchOrder",
            "'Shop::FetchOrder' is no dotted path (that is a Ruby class); write module:function",
        ),
        ("default_retry_limit: 5", "default_retry_limit: 0", "attempts include the first"),
    ],
)
def test_what_does_nothing_in_the_earlier_form_is_refused(files: Any, old: str, new: str, said: str) -> None:
    """A key of the earlier form that did nothing, or does nothing here, is refused with the reason."""
    assert old in LEGACY
    with pytest.raises(DefinitionError) as refused:
        files(LEGACY.replace(old, new, 1))
    assert said in str(refused.value)
