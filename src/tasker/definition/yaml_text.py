"""YAML text: files into plain values that know their lines; nothing here knows what a template is.

Only YAML's own types are read (`SafeLoader`), and a key that is written twice is refused: plain YAML would
silently take the last.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tasker.definition.place import shown
from tasker.errors import DefinitionError, Duplicate

Patterns = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class Lined(dict[Any, Any]):
    """A mapping of a YAML file.

    Attributes:
        line: where it begins, from 1.
        written: key → the text of its value, for plain values: `1.10` is read as the number 1.1.
    """

    line: int = 0
    written: Mapping[Any, str] = MappingProxyType({})

    def with_values(self, values: Mapping[Any, Any]) -> Lined:
        """Make one with other values, at the same place."""
        made = Lined(values)
        made.line, made.written = self.line, self.written
        return made


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Attributes:
        path: of its file.
        data: its outermost mapping.
    """

    path: str
    data: Lined

    def at(self, mapping: Any) -> tuple[str, int]:
        """The file and line of a mapping in it."""
        return self.path, getattr(mapping, "line", 0) or self.data.line

    def whose(self, mapping: Any = None) -> str:
        """The same, for an error."""
        return shown(self.at(self.data if mapping is None else mapping))


def documents(patterns: Patterns) -> list[Document]:
    """Read all documents of all files that match; in order of their paths, each file once.

    Args:
        patterns: paths, relative to the working directory; `*`, `?`, `[…]` and `**` as in a shell.

    Raises:
        DefinitionError: a pattern matches nothing, or a file is no YAML.
    """
    listed = [patterns] if isinstance(patterns, str | os.PathLike) else list(patterns)
    files: dict[str, None] = {}
    for pattern in listed:
        found = [path for path in sorted(glob.glob(os.fspath(pattern), recursive=True)) if os.path.isfile(path)]
        if not found:
            raise DefinitionError(f"no file matches {os.fspath(pattern)!r}; looked for {os.path.abspath(pattern)}")
        files.update(dict.fromkeys(map(os.path.abspath, found)))
    return [document for path in files for document in _read(path)]


def _read(path: str) -> list[Document]:
    import yaml

    try:
        text = Path(path).read_text("utf-8")
        made = [data for data in yaml.load_all(text, Loader=_loader()) if data is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(f"{shown((path, line))}: this is no YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{shown((path, 1))}: this is no YAML: {error}") from error
    except Duplicate as error:
        raise Duplicate(f"{shown((path, error.args[1]))}: {error.args[0]}") from None
    for data in made:
        if not isinstance(data, Lined):
            raise DefinitionError(
                f"{shown((path, 1))}: a template is a mapping that begins with name:, not {data!r:.60}"
            )
    return [Document(path, data) for data in made]


@functools.cache
def _loader() -> Any:
    """Make the loader, on first use: yaml is imported only where there is YAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> Any:
        made = Lined()
        made.line = node.start_mark.line + 1
        yield made
        seen, written = set(), {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise Duplicate(f"the key {key.value!r} is written twice", key.start_mark.line + 1)
                seen.add(key.value)
                if isinstance(value, yaml.ScalarNode):
                    written[key.value] = value.value
        made.written = written
        made.update(loader.construct_mapping(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader
