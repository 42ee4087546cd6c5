"""What a YAML file may not say: each text is one mistake, refused with file and line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tasker.errors import CycleError, DefinitionError, Duplicate, UnknownOption, UnknownParent

STEP = "steps: [{name: a, handler: shopyaml.handlers.lonely}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"name: x\nquue: a\n{STEP}", r"tasks/a\.yaml:1: no key 'quue'\. Did you mean 'queue'"),
        (
            "name: x\nsteps: [{name: a, handler: m:f, timeuot: 5}]",
            r"step 'a' \(tasks/a\.yaml:2\): no key 'timeuot'.*'timeout'",
        ),
        ("name: x\nsteps: [{name: a, handler: m:f, after: [b]}]", r"no key 'after'\. Write depends_on: \['b'\]"),
        ("name: x\nsteps: [{name: a, handler: m:f, max_retries: 3}]", r"Write retry: \{max_attempts: 4\}"),
        ("name: x\nsteps: [{name: a, handler: m:f, queue: heavy}]", "no key 'queue'"),
        (
            "name: x\nsteps: [{name: a, handler: shopyaml.handlers.lonely, retry: {max_attemps: 3}}]",
            r"step 'a' \(tasks/a\.yaml:2\): retry: no key 'max_attemps'",
        ),
        (f"name: x\nretry: {{attempts: 3}}\n{STEP}", r"retry: no key 'attempts'\. Did you mean 'max_attempts'"),
        (f"name: x\nretry: {{backoff: {{frist: 3}}}}\n{STEP}", "backoff: no key 'frist'. Did you mean 'first'"),
        (
            f"name: x\nenvironments: {{prod: {{}}}}\n{STEP}",
            "no environment is called 'prod'.*Did you mean 'production'",
        ),
        (f"name: x\nenvironments: {{test: {{version: '2'}}}}\n{STEP}", "'version' is the same in every environment"),
        (f"name: x\nenvironments: {{test: {{timeuot: 2}}}}\n{STEP}", "no key 'timeuot'"),
        ("name: x\nsteps: [{name: a, http: {method: GET, uri: x}}]", "http: no key 'uri'"),
    ],
)
def test_unknown_keys_are_refused(files: Any, text: str, said: str) -> None:
    """A key that means nothing is refused with file, line and nearest spelling, in every section."""
    with pytest.raises(UnknownOption, match=said):
        files(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"name: x\nversion: 1.10\n{STEP}",
            'version 1.10 is a number in YAML, and 1.10 would be 1.1; write version: "1.10"',
        ),
        (f"name: x\nversion: 2\n{STEP}", 'write version: "2"'),
        (STEP, "a template needs a name"),
        (f"name: no\n{STEP}", "a name is a string, not False"),
        ("[a]", "a template is a mapping"),
        ("name: [", "this is no YAML"),
        ("name: !!python/object/apply:os.system [ls]", "this is no YAML"),
        ("name: x\nsteps: {a: 1}", "steps is a list"),
        ("name: x\nsteps: [a]", "each step is a mapping with a name"),
        ("name: x\nsteps: [{handler: a}]", "each step is a mapping with a name"),
        (
            "name: x\nsteps: [{name: a}]",
            r"has no handler; write handler: module:function, or http: \{…\}, or command: \{…\}",
        ),
        ("name: x\nsteps: [{name: a, handler: m:f, http: {}}]", "has handler and http; write one of them"),
        ("name: x\nsteps: [{name: a, http: GET}]", "http is a mapping of method, url, json"),
        ("name: x\nsteps: [{name: a, http: {method: GET}}]", "http: .*missing .*'url'"),
        ("name: x\nsteps: [{name: a, command: {argv: []}}]", "command: argv is empty"),
        (f"name: x\npriority: 500\n{STEP}", r"tasks/a\.yaml:1: template 'x': priority=500"),
        (f"name: x\nretry: 5\n{STEP}", r"retry is a mapping"),
        (f"name: x\nretry: {{max_attempts: 0}}\n{STEP}", r"tasks/a\.yaml:1: Retry\(max_attempts=0\)"),
        (f"name: x\nretry: {{backoff: 5}}\n{STEP}", r"retry: backoff is \{first: 0\.5"),
        (f"name: x\nretry: {{backoff: {{first: -1}}}}\n{STEP}", r"tasks/a\.yaml:1: Backoff\(first"),
        (f"name: x\nretry: {{permanent: [answer]}}\n{STEP}", "permanent: builtins has no 'answer'"),
        (
            "name: x\nsteps: [{name: a, handler: shopyaml.handlers.lonely, timeout: 10s}]",
            r"step 'a' \(tasks/a\.yaml:2\): timeout",
        ),
        ("name: x\nsteps: [{name: a, handler: shopyaml.handlers.lonely, inputs: [a]}]", "inputs is a mapping"),
        (f"name: x\nenvironments: [a]\n{STEP}", "environments is a mapping"),
        (f"name: x\nenvironments: {{test: 5}}\n{STEP}", "write what differs"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(files: Any, text: str, said: str) -> None:
    """What is no template is refused with file and line, and with what to write."""
    with pytest.raises(DefinitionError, match=said.replace("1.10", r"1\.10")):
        files(text)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("os:system", "'os:system' is not in a module that may be loaded. Allowed: shopyaml"),
        ("shopyamlx:f", "is not in a module that may be loaded"),
        ("shopyaml.handlers:os.system", "goes through the module os"),
        ("shopyaml.handlers.os.system", "goes through the module os"),
        ("shopyaml.handlers:fetch_oder", "shopyaml.handlers has no 'fetch_oder'. Did you mean 'fetch_order'"),
        ("shopyaml.handlers.Nested.outer", "Nested has no 'outer'"),
        ("shopyaml.handler:fetch_order", "'shopyaml.handler' cannot be imported"),
        ("shopyaml.broken:f", "'shopyaml.broken' cannot be imported: ZeroDivisionError"),
        ("shopyaml.broken.f", "'shopyaml.broken' cannot be imported: ZeroDivisionError"),
        ("shopyaml.handlers:answer", "cannot be called; name a function"),
        ("shopyaml.handlers:Needy", "is a class that needs arguments"),
        ("shopyaml.handlers:a:b", "is no dotted path"),
        ("5", "is no dotted path"),
    ],
)
def test_handlers_come_from_the_allowed_modules_only(files: Any, handler: str, said: str) -> None:
    """A handler is imported from the modules that were named, by its own path, or refused."""
    with pytest.raises(DefinitionError) as refused:
        files(f"name: x\nsteps: [{{name: a, handler: {handler}}}]")
    assert said in str(refused.value)
    assert "step 'a' (tasks/a.yaml:2)" in str(refused.value)


def test_no_module_is_imported_before_it_is_allowed(files: Any) -> None:
    """A path outside the allowed modules is refused without importing anything."""
    with pytest.raises(DefinitionError, match="not in a module"):
        files("name: x\nsteps: [{name: a, handler: shopyaml.broken.f}]", modules=["other"])
    assert "shopyaml" not in sys.modules


def test_modules_are_a_list(files: Any) -> None:
    """A single string for `modules` is refused, for its letters would be the modules."""
    with pytest.raises(DefinitionError, match=r'write a list, e\.g\. modules=\["shop"\]'):
        files(f"name: x\n{STEP}", modules="shop")


def test_a_circle_is_printed_whole(files: Any) -> None:
    """Steps that depend on each other are refused with the whole circle."""
    with pytest.raises(CycleError) as refused:
        files("""
name: x
steps:
  - {name: a, handler: shopyaml.handlers.lonely, depends_on: [c]}
  - {name: b, handler: shopyaml.handlers.lonely, depends_on: [a]}
  - {name: c, handler: shopyaml.handlers.lonely, depends_on: [b]}
  - {name: d, handler: shopyaml.handlers.lonely, depends_on: [c]}
""")
    assert str(refused.value) == ("tasks/a.yaml:2: template 'x': steps depend on each other in a circle: a → b → c → a")
    assert refused.value.circle == ("a", "b", "c", "a")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "depends_on: [fetch_oder]",
            "depends_on names 'fetch_oder', which is no step. Did you mean 'fetch_order'? Steps: fetch_order, b",
        ),
        ("inputs: {order: fetch_oder}", "inputs: order names 'fetch_oder', which is no step."),
        ("inputs: {order: [fetch_order, x]}", "inputs: order names 'x', which is no step. Steps: fetch_order, b"),
    ],
)
def test_unknown_parents_are_refused(files: Any, step: str, said: str) -> None:
    """A parent that is no step of the file is refused, with its nearest spelling."""
    with pytest.raises(UnknownParent) as refused:
        files(f"""
name: x
steps:
  - {{name: fetch_order, handler: shopyaml.handlers.lonely}}
  - {{name: b, handler: shopyaml.handlers.reserve_stock, {step}}}
""")
    assert f"step 'b' (tasks/a.yaml:5): {said}" in str(refused.value)


def test_a_parameter_that_names_no_step_is_refused(files: Any) -> None:
    """A handler's parameter that is no step of the file is refused, and the refusal says `inputs`."""
    with pytest.raises(UnknownParent) as refused:
        files("""
name: x
steps:
  - {name: fetch_order, handler: shopyaml.handlers.lonely}
  - {name: b, handler: shopyaml.handlers.wants}
""")
    assert str(refused.value) == (
        "step 'b' (tasks/a.yaml:5): parameter 'fecth_order' of its handler is neither 'context', 'step' nor a step. "
        "Did you mean 'fetch_order'? Steps: fetch_order, b. To use another name: inputs: {fecth_order: fetch_order}"
    )


def test_a_step_of_an_environment_that_is_no_step_is_refused(files: Any) -> None:
    """An environment may only change steps of the base, also one that is not in use."""
    with pytest.raises(UnknownParent, match=r"environments: test: there is no step 'aa'\. Did you mean 'a'|Steps: a"):
        files(f"name: x\nenvironments: {{test: {{steps: [{{name: aa, timeout: 1}}]}}}}\n{STEP}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"name: x\nname: y\n{STEP}", r"tasks/a\.yaml:2: the key 'name' is written twice"),
        ("name: x\nsteps: [{name: a, handler: m:f}, {name: a, handler: m:f}]", "there is already a step 'a'"),
    ],
)
def test_what_is_written_twice_is_refused(files: Any, text: str, said: str) -> None:
    """A key or a step that is written twice is refused; YAML itself would silently take the last."""
    with pytest.raises(Duplicate, match=said):
        files(text)


def test_a_pattern_that_matches_nothing_is_refused(files: Any, tmp_path: Path) -> None:
    """A pattern without files is refused with the absolute path that was looked for."""
    with pytest.raises(DefinitionError) as refused:
        files(f"name: x\n{STEP}", patterns=["tasks/*.yaml", "taks/*.yaml"])
    assert str(refused.value) == f"no file matches 'taks/*.yaml'; looked for {tmp_path}/taks/*.yaml"
