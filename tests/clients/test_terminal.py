"""Passwords that are asked for at a terminal: seen by nobody, not even by who types."""

import os
import pty
import select
import termios
import time

import pytest

LIMIT_SECONDS = 20


def is_silent(terminal):
    """Whether what is typed is not shown; the program says so a moment after it asked."""
    return not termios.tcgetattr(terminal)[3] & termios.ECHO


def at_terminal(arguments, typed):
    """Runs the program at a terminal of its own, types a line when it asks, and returns exit code and screen."""
    process, terminal = pty.fork()
    if process == 0:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDFREEDOM_")}
        os.execve(os.environ["CF_BINARY"], [os.environ["CF_BINARY"], *arguments], environment)
    screen, told = b"", False
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        asked = b"assword" in screen and screen.rstrip(b" ").endswith(b":")
        if asked and not told and is_silent(terminal):
            os.write(terminal, typed.encode() + b"\n")
            told = True
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        screen += piece
    else:
        os.kill(process, 9)
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert told, f"no question at the terminal: {screen!r}"
    return os.waitstatus_to_exitcode(status), screen.decode()


COMMANDS = {
    "superuser": ["superuser", "upsert", "typed@example.com"],
    "admin": ["admin", "create", "--email", "typed@example.com"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_password_typed_at_the_terminal_is_taken_and_not_shown(command, tmp_path):
    code, screen = at_terminal([*COMMANDS[command], "--data-dir", str(tmp_path)], "correct horse battery")
    assert code == 0, screen
    assert "correct horse" not in screen


@pytest.mark.parametrize("command", COMMANDS)
def test_one_that_is_too_short_is_refused_with_a_sentence(command, tmp_path):
    code, screen = at_terminal([*COMMANDS[command], "--data-dir", str(tmp_path)], "short")
    assert code == 1, screen
    assert "8 character" in screen
