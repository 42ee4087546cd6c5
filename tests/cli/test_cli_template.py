"""`tasker template`: what may run."""

from __future__ import annotations

import pytest
from house import Cli, Project


def test_templates_of_the_code_and_of_the_database_are_listed(project: Project, cli: Cli) -> None:
    """A template is listed with its steps and unfinished tasks, and whether this app's code has it."""
    project.order()
    listed = {one["template"]: one for one in cli.json("template", "list")}
    assert set(listed) == {"shop/fulfil_order@1.1.0", "shop/slow@0.1.0"}
    fulfil = listed["shop/fulfil_order@1.1.0"]
    assert (fulfil["here"], fulfil["stored"], fulfil["unfinished"]) == (True, True, 1)
    assert listed["shop/slow@0.1.0"]["stored"] is False
    assert "From paid order to reported tax" in cli("template", "list").out


def test_without_code_what_is_stored_is_shown(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--database` alone, templates are those that were stored."""
    project.order()
    monkeypatch.delenv("TASKER_APP")
    (listed,) = cli.json("template", "list")
    assert (listed["template"], listed["here"]) == ("shop/fulfil_order@1.1.0", False)
    assert "fetch_order" in cli("template", "graph", "shop/fulfil_order").out


def test_a_template_is_shown_with_context_and_policy(project: Project, cli: Cli) -> None:
    """`template show` has the fields of the context, secret defaults masked, and parents and policy of each step."""
    out = cli("template", "show", "shop/fulfil_order").out
    assert "order_id: integer" in out
    assert 'api_key: string, default "***"' in out
    assert "5 attempts, timeout 20 s, system fulfilment" in out
    assert "Ask the shop for the order." in out


def test_a_graph_is_a_tree_or_mermaid(project: Project, cli: Cli) -> None:
    """`template graph` draws a tree; `--form mermaid` prints nothing but Mermaid."""
    assert "   ├─ reserve_stock" in cli("template", "graph", "shop/fulfil_order").out
    mermaid = cli("template", "graph", "shop/fulfil_order@1.1.0", "--form", "mermaid").out
    assert mermaid.startswith("flowchart TD\n")
    edges = cli.json("template", "graph", "shop/fulfil_order")["edges"]
    assert ["reserve_stock", "report_tax"] in edges


def test_an_unknown_template_names_the_nearest(project: Project, cli: Cli) -> None:
    """A misspelt name or version is refused with what there is."""
    assert "Did you mean 'shop/fulfil_order'?" in cli("template", "show", "shop/fulfil_ordre").err
    assert "Versions: 1.1.0" in cli("template", "show", "shop/fulfil_order@9").err


def test_check_seals_every_template(lite_project: Project, cli: Cli) -> None:
    """`template check` names each sound template, and each wrong one with what is wrong; exit status 1."""
    sound = cli("template", "check")
    assert sound.status == 0
    assert "✓ shop/fulfil_order@1.1.0" in sound.out
    lite_project.write(
        "wrong.py",
        "from tasker import Tasker\napp = Tasker()\nt = app.template('bad')\n"
        "@t.step\ndef a() -> int: ...\n@t.step\ndef b(a: list[int]) -> None: ...\n"
        "u = app.template('good')\n@u.step\ndef c() -> int: ...\n",
    )
    wrong = cli("template", "check", "--app", "wrong:app")
    assert wrong.status == 1
    assert "✗ default/bad@0.1.0: step 'b'" in wrong.out
    assert "✓ default/good@0.1.0" in wrong.out


def test_check_needs_no_database(
    bare: object, cli: Cli, lite_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no database yet, the code alone is checked, and none is made."""
    missing = lite_project.folder / "none.db"
    monkeypatch.setenv("TASKER_DATABASE_URL", f"sqlite:///{missing}")
    assert cli("template", "check", "--deploy").status == 0
    assert not missing.exists()


def edited(project: Project, *changes: tuple[str, str]) -> None:
    """Change the project's code, as a deploy would."""
    file = project.folder / "shop" / "tasks.py"
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    import sys

    project.close()
    for name in ("shop.tasks", "shop"):
        sys.modules.pop(name, None)


def test_deploy_lists_what_would_be_stranded(project: Project, cli: Cli) -> None:
    """Unfinished tasks of a version that the new code does not serve are listed by version; exit status 1."""
    project.order()
    project.order()
    assert cli("template", "check", "--deploy").status == 0
    edited(project, ('version="1.1.0"', 'version="2.0.0"'))
    answer = cli("template", "check", "--deploy")
    assert answer.status == 1
    assert "2 unfinished tasks of shop/fulfil_order@1.1.0 in queue 'default'" in answer.out
    assert 'say serves=["1.1.0"]' in answer.out
    edited(project, ('version="2.0.0"', 'version="2.0.0", serves=["1.1.0"]'))
    assert cli("template", "check", "--deploy").status == 0


def test_deploy_does_not_count_on_workers_it_replaces(project: Project, cli: Cli) -> None:
    """A live worker of the same app serves its tasks now, but is about to be replaced: they would be stranded."""
    project.order("busy")
    with project.app.worker():
        copy = project.folder / "next.py"
        text = (project.folder / "shop" / "tasks.py").read_text()
        copy.write_text(text.replace('version="1.1.0"', 'version="2.0.0"'))
        answer = cli("template", "check", "--deploy", "--app", "next:app")
    assert answer.status == 1
    assert "shop/fulfil_order@1.1.0" in answer.out


def test_tasks_of_another_app_are_not_stranded(project: Project, cli: Cli) -> None:
    """A live worker of another app, with other templates, stays: its tasks are none of this deploy's."""
    project.order("busy")
    with project.app.worker():
        project.write(
            "other.py",
            "from tasker import Tasker\napp = Tasker()\nt = app.template('other')\n@t.step\ndef a() -> int: ...\n",
        )
        assert cli("template", "check", "--deploy", "--app", "other:app").status == 0
    assert cli("template", "check", "--deploy", "--app", "other:app").status == 1


def test_in_production_a_changed_shape_is_a_fault(project: Project, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same version with another shape while tasks use the old one: told in development, refused in production."""
    project.order()
    edited(project, ("def send_mail(fetch_order: dict[str, str])", "def send_mail(report_tax: float)"))
    told = cli("template", "check", "--deploy")
    assert "stored with another shape" in told.out
    monkeypatch.setenv("TASKER_ENV", "production")
    refused = cli("template", "check")
    assert refused.status == 1
    assert "✗ shop/fulfil_order@1.1.0: it is stored with another shape" in refused.out
    assert "1 task uses it" in refused.out
    project.app.tasks()[0].cancel(reason="over")
    assert cli("template", "check").status == 1  # as the worker's start would refuse it
