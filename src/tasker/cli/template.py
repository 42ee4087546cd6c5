"""`tasker template list|show|graph|check`: what may run, from the app's code and from what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from packaging.version import Version

from tasker.cli.command import command, group
from tasker.cli.redact import Mask
from tasker.cli.screen import labelled
from tasker.cli.session import Session, refuse_missing_file
from tasker.cli.words import plural, span
from tasker.definition import render
from tasker.definition.policy import Policy, StepPolicy
from tasker.definition.shape import Shape
from tasker.definition.spelling import did_you_mean, listed
from tasker.errors import DefinitionError, NotFound

if TYPE_CHECKING:
    from tasker.app.tasker import Tasker

NameArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", help="namespace/name, with or without @version.")]


class Form(StrEnum):
    """How a graph is written."""

    TREE = "tree"
    MERMAID = "mermaid"


@dataclass(frozen=True)
class Known:
    """A template that is known here.

    Attributes:
        row: its stored row; None where it was never stored.
        here: whether this app's code defines it, with this shape.
    """

    namespace: str
    name: str
    version: str
    shape: Shape
    policy: Policy
    row: int | None
    here: bool

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def ref(self) -> str:
        return f"{self.full_name}@{self.version}"


def add_to(app: typer.Typer) -> None:
    templates = group("template", "Look at templates and check them.", example="tasker template check --deploy")
    command(templates, "list", example="tasker template list")(list_templates)
    command(templates, "show", example="tasker template show shop/fulfil_order")(show)
    command(templates, "graph", example="tasker template graph shop/fulfil_order --form mermaid")(graph)
    command(templates, "check", example="tasker template check --app shop.tasks:app --deploy")(check)
    app.add_typer(templates)


def known_templates(session: Session) -> list[Known]:
    """Templates of the code, then those that are only stored."""
    from tasker.app.shelf import read_templates, row_of

    tasker = session.tasker
    stored = {row.id: row for row in read_templates(tasker.store)} if has_tables(tasker) else {}
    found = []
    for draft in tasker.registry.all():
        sealed, row = draft.seal(), row_of(draft.seal())
        at = row.id if stored.pop(row.id, None) is not None else None
        found.append(Known(sealed.namespace, sealed.name, sealed.version, sealed.shape, sealed.policy, at, True))
    for row in stored.values():
        shape, policy = Shape.from_json(row.shape), Policy.from_json(row.policy)
        found.append(Known(row.namespace, row.name, row.version, shape, policy, row.id, False))
    return found


def has_tables(tasker: Tasker) -> bool:
    """Whether there is anything stored to look at; code alone will do for templates."""
    try:
        refuse_missing_file(tasker)
    except NotFound:
        if not tasker.registry.all():
            raise
        return False
    return True


def find_template(session: Session, name: str) -> Known:
    """The template of that name; without a version the newest.

    Raises:
        NotFound: with the nearest spelling.
    """
    full_name, _, version = name.partition("@")
    full_name = full_name if "/" in full_name else f"default/{full_name}"
    known = known_templates(session)
    akin = [one for one in known if one.full_name == full_name]
    if not akin:
        names = dict.fromkeys(one.full_name for one in known)
        raise NotFound(f"there is no template {name!r}.{did_you_mean(full_name, names)} Templates: {listed(names)}")
    if not version:
        return max(akin, key=lambda one: (Version(one.version), one.here))
    found = [one for one in akin if one.version == version]
    if not found:
        raise NotFound(f"{full_name} has no version {version!r}. Versions: {listed(one.version for one in akin)}")
    return found[0]


def list_templates(session: Session) -> None:
    """List templates: of the app's code if one is named, and of the database."""
    from tasker.store import read

    screen = session.screen
    known = known_templates(session)
    counts: dict[int, int] = {}
    if any(one.row is not None for one in known):
        for template, _, count in read.count_unfinished(session.tasker.store):
            counts[template] = counts.get(template, 0) + count
    if screen.json:
        screen.data([{**_header(one), "unfinished": counts.get(one.row or 0, 0)} for one in known])
        return
    if not known:
        screen.say("no template yet")
        return
    from tasker.cli.screen import plain

    rows = [
        [
            plain(one.ref, "bold"),
            str(len(one.shape.steps)),
            plain(one.policy.queue),
            str(counts.get(one.row or 0, 0)),
            "here" if one.here else "stored",
            plain(one.policy.description),
        ]
        for one in known
    ]
    columns = (("TEMPLATE", "whole"), ("STEPS", "right"), "QUEUE", ("UNFINISHED", "right"), "FROM", "DESCRIPTION")
    screen.table(*columns, rows=rows)


def _header(one: Known) -> dict[str, Any]:
    return {
        "template": one.ref,
        "namespace": one.namespace,
        "name": one.name,
        "version": one.version,
        "fingerprint": one.shape.fingerprint,
        "steps": [step.name for step in one.shape.steps],
        "queue": one.policy.queue,
        "description": one.policy.description,
        "here": one.here,
        "stored": one.row is not None,
    }


def show(session: Session, template: NameArgument) -> None:
    """Show a template: its context, and each step with its parents and policy."""
    one, screen = find_template(session, template), session.screen
    if screen.json:
        definition = {"shape": json.loads(one.shape.to_json()), "policy": json.loads(one.policy.to_json())}
        screen.data({**_header(one), **definition})
        return
    from tasker.cli.screen import plain

    screen.say(plain(one.ref, "bold"), "")
    for name, value in _facts(one):
        screen.say(labelled(name, value))
    for name, field in zip(["context", *[""] * 1_000], _fields(one.policy.context_schema, session.mask), strict=False):
        screen.say(labelled(name, field))
    rows = [
        [
            plain(step.name, "bold"),
            plain(", ".join(step.parents) or "-"),
            plain(_policy(one.policy.steps[step.name])),
            plain(one.policy.steps[step.name].description),
        ]
        for step in one.shape.steps
    ]
    screen.say("")
    screen.table(("STEP", "whole"), "AFTER", "POLICY", "DESCRIPTION", rows=rows)


def _facts(one: Known) -> Iterator[tuple[str, str]]:
    policy = one.policy
    if policy.description:
        yield "", policy.description
    yield "queue", f"{policy.queue}, priority {policy.priority}" if policy.priority else policy.queue
    yield "on failure", policy.on_failure
    if policy.deadline is not None:
        yield "deadline", f"{span(policy.deadline)} after it was created"
    yield "result", one.shape.result or "all leaves by name"
    yield "from", "this app's code" if one.here else "the database"


def _fields(schema: Mapping[str, Any] | None, mask: Mask) -> list[str]:
    """What a context holds, a line for each field of its JSON Schema."""
    if schema is None:
        return ["any object"]
    required = schema.get("required", ())
    found = []
    for name, field in schema.get("properties", {}).items():
        kind = field.get("type") or str(field.get("$ref", "")).rpartition("/")[2] or "any"
        default = (
            f", default {json.dumps(mask.at(name, field['default']), ensure_ascii=False)}" if "default" in field else ""
        )
        found.append(f"{name}: {kind}{default}{'' if name in required or default else ', may be missing'}")
    return found or ["an object"]


def _policy(step: StepPolicy) -> str:
    said = [plural(step.retry.max_attempts, "attempt") if step.retry.retryable else "never retried"]
    if step.timeout is not None:
        said.append(f"timeout {span(step.timeout)}")
    if step.system:
        said.append(f"system {step.system}")
    if step.priority:
        said.append(f"priority {step.priority}")
    return ", ".join(said)


def graph(
    session: Session,
    template: NameArgument,
    form: Annotated[Form, typer.Option(help="A tree for the terminal, or Mermaid for documents.")] = Form.TREE,
) -> None:
    """Draw a template's steps and what comes after what."""
    one, screen = find_template(session, template), session.screen
    drawn = render.mermaid(one.shape) if form is Form.MERMAID else render.tree(one.shape)
    if screen.json:
        edges = [[parent, step.name] for step in one.shape.steps for parent in step.parents]
        screen.data(
            {"template": one.ref, "steps": [step.name for step in one.shape.steps], "edges": edges, form: drawn}
        )
        return
    from tasker.cli.screen import plain

    screen.say(*([] if form is Form.MERMAID else [plain(one.ref, "bold")]), plain(drawn))


def check(
    session: Session,
    deployed: Annotated[
        bool, typer.Option("--deploy", help="Also list unfinished tasks that this code would leave without a worker.")
    ] = False,
) -> None:
    """Check every template of the app as a worker's start would. Exit status 1 if anything is wrong."""
    from tasker.app import deploy

    app, screen = session.app, session.screen
    faults, sealed = _seal_all(app)
    warnings: list[str] = []
    if not faults and (deployed or app.settings.production) and has_tables(app):
        faults += _against_store(app, sealed, warnings)
    left = deploy.stranded(app) if deployed and not faults and has_tables(app) else []
    if screen.json:
        found = [{"template": name, "message": message} for name, message in faults]
        stranded = [{**vars(one)} for one in left]
        screen.data({"templates": sealed, "faults": found, "warnings": warnings, "stranded": stranded})
    from tasker.cli.screen import plain

    for name in sealed:
        if name not in dict(faults):
            screen.say(plain(f"✓ {name}", "green"))
    for name, message in faults:
        screen.say(plain(f"✗ {name}: {message}", "red"))
    for line in [*warnings, *(one.text for one in left)]:
        screen.say(plain(f"! {line}", "yellow"))
    if not app.registry.all():
        screen.say("this app defines no template")
    if faults or left:
        raise typer.Exit(1)
    if deployed:
        screen.say("every unfinished task would be served")


def _seal_all(app: Tasker) -> tuple[list[tuple[str, str]], list[str]]:
    faults, sealed = [], []
    for draft in app.registry.all():
        try:
            sealed.append(draft.seal().ref)
        except DefinitionError as error:
            faults.append((draft.ref, str(error)))
    return faults, sealed


def _against_store(app: Tasker, sealed: list[str], warnings: list[str]) -> list[tuple[str, str]]:
    """What does not go together with what is stored: faults, and warnings where that is allowed."""
    from tasker.app import deploy
    from tasker.app.shelf import Shelf

    faults = []
    try:
        Shelf(app.store, [draft.seal() for draft in app.registry.all()]).refresh()
    except DefinitionError as error:
        whose = next((name for name in sealed if str(error).startswith(name)), sealed[0])
        faults.append((whose, str(error)))
    for name, difference, count in deploy.other_shapes(app):
        users = f" and {plural(count, 'task')} use{'s' if count == 1 else ''} it" if count else ""
        text = f"it is stored with another shape ({difference}){users}"
        if app.settings.production:
            faults.append((name, f"{text}. Give it a new version, and let it finish the old tasks with serves=[…]"))
        elif count:
            warnings.append(f"{name}: {text}")
    return faults
