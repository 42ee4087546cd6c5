"""command: how the process ends is how the attempt ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback import Attempt

from tasker.errors import AttemptOver, DefinitionError, PermanentError, RetryableError, UnknownOption
from tasker.handlers import command
from tasker.handlers.child import MAX_OUTPUT_BYTES, MAX_STDERR_BYTES


def python(code: str, *arguments: str, **options: Any) -> Callable[..., Any]:
    """A command that runs Python code: braces in it are doubled, as anywhere in `argv`."""
    return command([sys.executable, "-c", code.replace("{", "{{").replace("}", "}}"), *arguments], **options)


def permanent(call: Callable[..., Any], step: Any, context: Any = None) -> PermanentError:
    with pytest.raises(PermanentError) as raised:
        call({} if context is None else context, step)
    return raised.value


def retryable(call: Callable[..., Any], step: Any) -> RetryableError:
    with pytest.raises(RetryableError) as raised:
        call({}, step)
    return raised.value


def gone(pid: int) -> bool:
    """Whether a process is dead, or will be in a moment."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def written(path: Path) -> str:
    """The text of a file that a process is about to write."""
    for _ in range(250):
        if path.exists() and path.read_text():
            return path.read_text()
        time.sleep(0.02)
    raise AssertionError(f"{path} was not written")


def test_json_in_json_out(attempt: Attempt) -> None:
    """The process reads context, results and the attempt's facts as JSON, and prints its results as JSON."""
    echo = python("import json, sys; json.dump(json.load(sys.stdin), sys.stdout)")
    step = attempt(
        task_id="t-1", template="shop/x@1", name="tax", attempt=2, config={"rate": 19}, results={"fetch": {"total": 5}}
    )
    assert echo({"order_id": 17, "name": "Müller"}, step) == {
        "context": {"order_id": 17, "name": "Müller"},
        "results": {"fetch": {"total": 5}},
        "step": {
            "task_id": "t-1",
            "template": "shop/x@1",
            "name": "tax",
            "attempt": 2,
            "max_attempts": 3,
            "idempotency_key": "order-17:charge:0",
            "config": {"rate": 19},
        },
    }


def test_a_shell_script_is_a_step(tmp_path: Path, attempt: Attempt) -> None:
    """Any executable will do, also one that reads nothing."""
    script = tmp_path / "step"
    script.write_text('#!/bin/sh\necho "{\\"tax\\": $1}"\n')
    script.chmod(0o755)
    assert command([str(script), "{context.total}"])({"total": 7}, attempt()) == {"tax": 7}


@pytest.mark.parametrize("printed", ["", "  \n"])
def test_no_output_is_no_results(attempt: Attempt, printed: str) -> None:
    """Empty standard output leaves None."""
    assert python(f"print({printed!r}, end='')")({}, attempt()) is None


@pytest.mark.parametrize("printed", ["b'done'", "b'{} {}'", "b'NaN'", "b'\\xff'"])
def test_output_that_is_not_json_is_an_invalid_result(attempt: Attempt, printed: str) -> None:
    """Exit 0 with something else than one JSON value is an error that is not retried."""
    error = permanent(python(f"import sys; sys.stdout.buffer.write({printed})"), attempt())
    assert error.code == "invalid_result"
    assert "exited with 0, but its standard output is not JSON" in str(error)
    assert error.details["stdout"]


def test_75_is_try_again_later(attempt: Attempt) -> None:
    """Exit 75 (EX_TEMPFAIL) may be tried again."""
    error = retryable(python("import sys; print('busy', file=sys.stderr); sys.exit(75)"), attempt())
    assert (error.code, error.details["stderr"]) == ("exit_75", "busy")


@pytest.mark.parametrize("status", [1, 2, 127, 255])
def test_other_statuses_are_permanent(attempt: Attempt, status: int) -> None:
    """Any other status ends the step; the message ends with the last line of standard error."""
    code = f"import sys; print('{{}}'); print('one\\ntwo', file=sys.stderr); sys.exit({status})"
    error = permanent(python(code), attempt())
    assert error.code == f"exit_{status}"
    assert str(error) == f"{sys.executable} exited with {status}: two"
    assert error.details == {"stderr": "one\ntwo", "stdout": "{}\n"}


def test_the_statuses_to_retry_can_be_chosen(attempt: Attempt) -> None:
    """`retry_exit` replaces 75."""
    assert retryable(python("raise SystemExit(3)", retry_exit=[3, 4]), attempt()).code == "exit_3"
    assert permanent(python("raise SystemExit(75)", retry_exit=[3, 4]), attempt()).code == "exit_75"


def test_a_signal_is_retried(attempt: Attempt) -> None:
    """A process that something else killed may be tried again; the code bears the signal's number."""
    error = retryable(python("import os; os.kill(os.getpid(), 9)"), attempt())
    assert (error.code, "signal 9 (Killed)" in str(error)) == ("signal_9", True)


@pytest.mark.parametrize("argv", [["no-such-program"], ["/etc/passwd"], ["/etc"], ["/etc/passwd/x"]])
def test_what_cannot_be_started_is_permanent(attempt: Attempt, argv: list[str]) -> None:
    """A program that is not there, or is none, is named and not retried."""
    error = permanent(command(argv), attempt())
    assert error.code == "not_started"
    assert argv[0] in str(error)


def test_a_script_without_an_interpreter_cannot_be_started(tmp_path: Path, attempt: Attempt) -> None:
    """There is no shell that would guess how to run a file."""
    script = tmp_path / "step"
    script.write_text("echo 1\n")
    script.chmod(0o755)
    assert permanent(command([str(script)]), attempt()).code == "not_started"


def test_arguments_are_never_read_by_a_shell(attempt: Attempt) -> None:
    """An item of argv stays one argument, whatever it is filled with."""
    call = python("import json, sys; print(json.dumps(sys.argv[1:]))", "{context.name}", "{{literal}}")
    assert call({"name": "$(id); `id` 'a' && b"}, attempt()) == ["$(id); `id` 'a' && b", "{literal}"]


def test_env_and_cwd(tmp_path: Path, attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    """`env` is added to the worker's environment, `cwd` is where the process runs; both are filled in."""
    monkeypatch.setenv("FROM_WORKER", "kept")
    code = "import json, os; print(json.dumps([os.environ['ORDER'], os.environ['FROM_WORKER'], os.getcwd()]))"
    call = python(code, env={"ORDER": "no. {context.id}"}, cwd=tmp_path)
    assert call({"id": 17}, attempt()) == ["no. 17", "kept", str(tmp_path)]
    (tmp_path / "17").mkdir()
    assert python(code, env={"ORDER": ""}, cwd=f"{tmp_path}/{{context.id}}")({"id": 17}, attempt())[2].endswith("/17")


def test_a_missing_cwd_is_named(attempt: Attempt) -> None:
    """The refusal names the directory, not the program."""
    assert "/no/such/place" in str(permanent(python("", cwd="/no/such/place"), attempt()))


def test_a_nul_in_an_argument_is_invalid_input(attempt: Attempt) -> None:
    """What the operating system cannot pass on is refused before the process starts."""
    assert permanent(python("", "{context.a}"), attempt(), {"a": "x\0y"}).code == "invalid_input"


def test_an_unknown_field_starts_nothing(tmp_path: Path, attempt: Attempt) -> None:
    """A field that cannot be filled is invalid input, and no process is started."""
    trace = tmp_path / "trace"
    error = permanent(command(["/usr/bin/touch", str(trace), "{results.nope.x}"]), attempt())
    assert (error.code, trace.exists()) == ("invalid_input", False)


def test_standard_error_of_a_success_is_logged(attempt: Attempt, caplog: pytest.LogCaptureFixture) -> None:
    """What a successful process says on standard error goes to the step's log."""
    with caplog.at_level(logging.INFO, logger="tasker.step"):
        python("import sys; print('rate of 2019 used', file=sys.stderr)")({}, attempt())
    assert "rate of 2019 used" in caplog.text


def test_the_end_of_standard_error_is_kept(attempt: Attempt) -> None:
    """However much it says, what is kept is bounded, and is the end; text that cannot be stored is made storable."""
    code = "import sys; sys.stderr.write('a' * 1_000_000 + 'b\\0' + 'the reason'); sys.exit(1)"
    kept = permanent(python(code), attempt()).details["stderr"]
    assert len(kept) <= MAX_STDERR_BYTES
    assert kept.endswith("b\N{SYMBOL FOR NULL}the reason")


def test_too_much_output_ends_it(attempt: Attempt) -> None:
    """A process that writes more than results may be is killed, and not retried."""
    began = time.monotonic()
    error = permanent(python("import sys\nwhile True: sys.stdout.write('x' * 65536)"), attempt())
    assert (error.code, time.monotonic() - began < 5) == ("too_large", True)
    assert len(python(f"print('\"' + 'x' * {MAX_OUTPUT_BYTES - 3} + '\"')")({}, attempt())) == MAX_OUTPUT_BYTES - 3


def test_large_input_that_nobody_reads_is_no_error(attempt: Attempt) -> None:
    """A process need not read what it is given."""
    assert python("print(1)")({"a": "x" * 1_000_000}, attempt()) == 1


def test_large_input_and_output_do_not_block_each_other(attempt: Attempt) -> None:
    """A process may write before it has read everything."""
    code = "import sys; sys.stdout.write('\"' + 'x' * 500_000); n = len(sys.stdin.read()); print(str(n) + '\"')"
    answer = python(code)({"a": "x" * 900_000}, attempt())
    assert answer.startswith("xxx")
    assert int(answer.strip("x")) > 900_000


def test_a_process_that_closes_its_output_is_waited_for(tmp_path: Path, attempt: Attempt) -> None:
    """The attempt lasts as long as the process, not as its pipes."""
    code = "import os, time; os.close(1); os.close(2); os.read(0, 9); time.sleep(0.3); os._exit(7)"
    began = time.monotonic()
    assert permanent(python(code), attempt()).code == "exit_7"
    assert time.monotonic() - began > 0.3


FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "60"])
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(60)
"""


def test_the_timeout_kills_the_whole_family(tmp_path: Path, attempt: Attempt) -> None:
    """At the step's timeout the process and what it started are killed; the attempt may be retried."""
    began = time.monotonic()
    error = retryable(python(FAMILY, str(tmp_path / "pid")), attempt(timeout=1))
    assert error.code == "timeout"
    assert 0.9 < time.monotonic() - began < 2
    assert gone(int(written(tmp_path / "pid")))


def test_a_process_that_ignores_signals_is_killed(attempt: Attempt) -> None:
    """The timeout does not ask."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    began = time.monotonic()
    assert retryable(python(code), attempt(timeout=0.3)).code == "timeout"
    assert time.monotonic() - began < 2


def test_an_attempt_that_is_over_kills_at_once(tmp_path: Path, attempt: Attempt) -> None:
    """When the attempt is no longer wanted, the process and what it started are killed within 50 ms."""
    pid, over_since = tmp_path / "pid", []

    def over() -> bool:
        if pid.exists() and pid.read_text() and not over_since:
            over_since.append(time.monotonic())
        return bool(over_since)

    with pytest.raises(AttemptOver):
        python(FAMILY, str(pid))({}, attempt(over=over))
    assert time.monotonic() - over_since[0] < 0.5
    assert gone(int(pid.read_text()))


def test_what_a_process_leaves_with_its_pipes_does_not_hold_the_step(tmp_path: Path, attempt: Attempt) -> None:
    """A background child that keeps standard output open is killed soon after the process itself exited."""
    code = FAMILY.replace("time.sleep(60)", "print(1)")
    began = time.monotonic()
    assert python(code, str(tmp_path / "pid"))({}, attempt()) == 1
    assert time.monotonic() - began < 3
    assert gone(int((tmp_path / "pid").read_text()))


def test_ctrl_c_in_the_terminal_does_not_reach_it(attempt: Attempt) -> None:
    """It has a process group of its own, so that a draining worker can let it finish."""
    assert python(
        "import os; print(os.getpgrp() == os.getpid())".replace("print(", "print(int(").replace("())", "()))")
    )({}, attempt())


def test_no_descriptors_are_left_behind(attempt: Attempt) -> None:
    """Pipes are closed however a run ends."""
    python("pass")({}, attempt())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        python("pass")({}, attempt())
        retryable(python("import time; time.sleep(9)"), attempt(timeout=0.05))
        permanent(command(["no-such-program"]), attempt())
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"argv": "tax --report 17"}, "there is no shell. Write ['tax', '--report', '17']"),
        ({"argv": []}, "argv []"),
        ({"argv": ["tax", 17]}, "argv.1: 17 is not a string"),
        ({"argv": ["{order_id}"]}, "command(): argv.0: field {order_id}"),
        ({"env": ["A=1"]}, "env ['A=1'] is not a mapping"),
        ({"env": {"A=B": "1"}}, "'A=B' is not the name of a variable"),
        ({"env": {"A": 1}}, "env.A: 1 is not a string"),
        ({"cwd": 1}, "cwd: 1 is not a string"),
        ({"retry_exit": [0]}, "retry_exit [0]"),
        ({"retry_exit": 75}, "retry_exit 75 is no list of statuses from 1 to 255. Write (75,)"),
        ({"retry_exit": [True]}, "retry_exit [True]"),
        ({"retry_exit": "75"}, "retry_exit '75'"),
    ],
)
def test_wrong_options_are_refused_at_definition(options: dict[str, Any], words: str) -> None:
    """Every option is checked where the step is written; the refusal names it."""
    given: dict[str, Any] = {"argv": ["true"], **options}
    with pytest.raises(DefinitionError) as raised:
        command(given.pop("argv"), **given)
    assert words in str(raised.value)


def test_an_unknown_option_is_refused() -> None:
    """A keyword that means nothing is refused: there is no `shell`, and `timeout` is the step's."""
    with pytest.raises(UnknownOption, match="no option 'shell'"):
        command(["true"], shell=True)  # type: ignore[arg-type]
    with pytest.raises(UnknownOption, match=r"It belongs to the step: step\(command\(…\), timeout=…\)"):
        command(["true"], timeout=3)  # type: ignore[arg-type]


def test_the_handler_shows_itself() -> None:
    """It is a function called `command` that tells its command line, its options, and the steps that it reads."""
    call: Any = command(["tax report", "{results.fetch.id}"], env={"TOKEN": "${TOKEN}"}, cwd="/tmp/{results.place}")
    assert (call.__name__, call.__doc__) == ("command", "'tax report' '{results.fetch.id}'")
    assert call.reads == ("fetch", "place")
    assert call.options["env"] == {"TOKEN": "${TOKEN}"}


def test_signals_have_numbers() -> None:
    """The code of a signal is its number on this platform."""
    assert f"signal_{int(signal.SIGKILL)}" == "signal_9"


def test_the_input_is_plain_ascii(attempt: Attempt) -> None:
    """What is sent can be read whatever the locale of the process."""
    raw = python("import sys, json; print(json.dumps(sys.stdin.buffer.read().isascii()))")(
        {"a": "Müller \ud83d"}, attempt()
    )
    assert raw is True
    assert json.dumps(raw) == "true"
