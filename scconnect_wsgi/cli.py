"""The command line: ``scconnect demo``, ``sandbox``, ``check``, ``secret`` and ``sql-schema``.

It has a second name, ``scconnect-wsgi``, for tools that run a package by its own name.

Each command imports what it needs when it runs, so that printing a secret loads no server.
"""

from __future__ import annotations

import argparse
import errno
import functools
import os
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, TypeVar

from scconnect_wsgi.errors import ConfigurationError
from scconnect_wsgi.urls import checked_url

if TYPE_CHECKING:
    from types import FrameType

    from scconnect_wsgi.check import Target
    from scconnect_wsgi.sandbox import Sandbox, Server

Value = TypeVar("Value")

LOGINS = "joe or ann with one click"


class _OutputError(Exception):
    """What a command prints could not be written. The text says why; none if nobody reads it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for failure.

    A mistyped command ends the process with exit status 2.
    """
    _open_closed_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(words)
    except _OutputError as error:
        if str(error):
            _tell(f"The output could not be written: {error}.")
        return 1
    except KeyboardInterrupt:  # Ctrl-C before a command has begun to listen for it
        return 128 + signal.SIGINT


def _run(words: list[str]) -> int:
    command = None
    if words[:1] == ["sandbox"] and "--" in words:  # what follows is not ours to read
        at = words.index("--")
        command = words[at + 1 :]
        words = words[:at]
    chosen = _parser().parse_args(words, argparse.Namespace(command=command))
    try:
        return int(chosen.run(chosen))
    except OSError as error:
        _tell(_reason(error, getattr(chosen, "port", None)))
        return 1


def _open_closed_streams() -> None:
    """Open the standard streams that are closed, as ``2>&-`` leaves stderr: nothing is kept there.

    Without a stderr, print() would write to stdout what is for stderr.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It stays open, like every standard stream
            number = os.open(os.devnull, os.O_RDWR)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


class _Parser(argparse.ArgumentParser):
    """A parser, those of the commands included, that prints its help as commands print."""

    def print_help(self, file: object = None) -> None:
        """Print the help to stdout."""
        _say(self.format_help().removesuffix("\n"))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=_program(), description='"Connect with SoundCloud" for WSGI applications.'
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run a demo site and a sandbox; needs no account")
    demo.add_argument(
        "--port",
        type=_port,
        default=8000,
        help="of the demo site; 0 for any free port (default: 8000)",
    )
    demo.add_argument(
        "--protocol",
        choices=("oauth2", "oauth1"),
        help="show only one (default: both, side by side)",
    )
    demo.set_defaults(run=_demo)

    _add_sandbox(commands)

    _add_check(commands)

    secret = commands.add_parser("secret", help="print a new secret key")
    secret.set_defaults(run=_secret)

    schema = commands.add_parser(
        "sql-schema",
        help="print the statements that make the tables of a SQLStore, for a site whose database "
        "user may not",
    )
    schema.add_argument(
        "url", help="begins with the kind of database, such as postgresql+psycopg://"
    )
    schema.set_defaults(run=_sql_schema)
    return parser


def _program() -> str:
    """Return what a user types to get here: the name of a console script, or ``python -m``."""
    name = Path(sys.argv[0]).stem
    return "python -m scconnect_wsgi" if name == "__main__" else name


class _Version(argparse.Action):
    """Print the version, which is written in pyproject.toml and read from what is installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            own = version("scconnect-wsgi")
        except PackageNotFoundError:
            own = "from sources that are not installed"
        _say(f"scconnect-wsgi {own} (Python {platform.python_version()})")
        parser.exit()


def _add_check(commands: argparse._SubParsersAction[_Parser]) -> None:
    check = commands.add_parser(
        "check",
        help="find what is wrong with a site, and print the callback URL to register",
        description="Find what is wrong with a site, and print the callback URL to register. The "
        "exit status is 0 if nothing is wrong, and 1 otherwise.",
    )
    check.add_argument(
        "target",
        nargs="?",
        type=_target,
        metavar="TARGET",
        help="FILE.ini, FILE.ini#section (of [filter:section]) or module:application (default: "
        "the SCCONNECT_* environment variables)",
    )
    check.add_argument(
        "--online",
        action="store_true",
        help="ask the provider: whether it accepts client id and secret, and its clock",
    )
    check.add_argument(
        "--url",
        type=_site_url,
        help="look at the running site, whose public root this is",
    )
    check.add_argument(
        "--ca-bundle",
        default="",
        metavar="PATH",
        help="a PEM file that judges the certificate of --url (default: SCCONNECT_CA_BUNDLE)",
    )
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.set_defaults(run=_check)


def _add_sandbox(commands: argparse._SubParsersAction[_Parser]) -> None:
    sandbox = commands.add_parser(
        "sandbox",
        help="run the local SoundCloud: alone, or with your site, as in "
        "`%(prog)s sandbox -- flask run`",
        usage="%(prog)s [--port P] [--redirect-uri URI]... [--fault NAME]... "
        "[--state FILE] [-- COMMAND ...]",
        epilog="COMMAND runs your site. It finds the sandbox in its environment, and its exit "
        "status is that of this command.",
    )
    sandbox.add_argument(
        "--port", type=_port, default=8001, help="0 for any free port (default: 8001)"
    )
    sandbox.add_argument(
        "--redirect-uri",
        type=_redirect_uri,
        action="append",
        metavar="URI",
        help="a callback URL that is registered, byte for byte; once for each (default: every one "
        "on localhost, 127.0.0.1 and [::1])",
    )
    sandbox.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME",
        help="a fault that the sandbox has, NAME or NAME=VALUE; once for each (its first page "
        "lists them)",
    )
    sandbox.add_argument(
        "--state", metavar="FILE", help="keeps users, permissions and tokens over a restart"
    )
    sandbox.add_argument("misplaced", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    sandbox.set_defaults(run=_sandbox, parser=sandbox)


def _argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Decorate a reader of an argument: argparse shows the text of its ValueError."""

    @functools.wraps(read)
    def reader(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return reader


@_argument
def _redirect_uri(text: str) -> str:
    return checked_url(text, "A redirect URI")


@_argument
def _fault(text: str) -> str:
    from scconnect_wsgi.sandbox import faults

    faults.parse([text])
    return text


@_argument
def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65_535):
        raise ValueError("a port is a number from 0 to 65535")
    return int(text)


@_argument
def _target(text: str) -> Target:
    from scconnect_wsgi.check import parse_target

    return parse_target(text)


@_argument
def _site_url(text: str) -> str:
    from scconnect_wsgi.check import checked_site_url

    return checked_site_url(text)


def _reason(error: OSError, port: int | None) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken. Choose another with --port, or any free one with --port 0."
    return f"This could not be started: {error.strerror or 'the system refused'}."


def _demo(chosen: argparse.Namespace) -> int:
    from scconnect_wsgi.demo import start

    wait = _stopped_by_signals()
    protocols = [chosen.protocol] if chosen.protocol else ["oauth2", "oauth1"]
    with start(chosen.port, protocols) as demo:
        _say(
            f"Open {demo.url}",
            f"Log in as {LOGINS}, or sign up there.",
            f"The sandbox that plays SoundCloud: {demo.sandbox_url}",
            "Tokens are kept in memory, and are gone when the demo ends.",
            "Ctrl-C ends the demo.",
        )
        wait()
    _say("Stopped.")
    return 0


def _sandbox(chosen: argparse.Namespace) -> int:
    from scconnect_wsgi.sandbox import CommandNotStartedError, Sandbox, StateFileError, serve

    _check_command(chosen)
    try:
        sandbox = Sandbox(
            redirect_uris=chosen.redirect_uri, misbehave=chosen.fault, state_file=chosen.state
        )
        if chosen.command:
            return _sandbox_around(chosen.command, sandbox, chosen.port)
    except (CommandNotStartedError, StateFileError) as error:
        _tell(str(error))
        return getattr(error, "status", 1)
    wait = _stopped_by_signals()
    with serve(sandbox, chosen.port) as server:
        _say(*_sandbox_lines(server, chosen.redirect_uri))
        wait()
    _say("Stopped.")
    return 0


def _check_command(chosen: argparse.Namespace) -> None:
    """End with exit status 2 if a command is mistyped."""
    parser = chosen.parser
    if chosen.misplaced:
        words = shlex.join([*chosen.misplaced, *(chosen.command or [])])
        parser.error(f"put -- in front of the command: {parser.prog} -- {words}")
    if chosen.command == []:
        parser.error(f"give a command behind --, such as {parser.prog} -- flask run")


def _sandbox_around(command: Sequence[str], sandbox: Sandbox, port: int) -> int:
    """Run a command with the sandbox, and return its exit status. The output is the command's."""
    from scconnect_wsgi.config import sandbox_environment
    from scconnect_wsgi.sandbox import run_command, serve

    with serve(sandbox, port) as server:
        _tell(f"The sandbox answers at {server.url}. Log in as {LOGINS}.")
        return run_command(command, sandbox_environment(server.url, os.environ))


def _sandbox_lines(server: Server, redirect_uris: Sequence[str] | None) -> list[str]:
    from scconnect_wsgi.config import sandbox_options

    root = server.url
    registered = "Every callback on localhost, 127.0.0.1 and [::1] is registered."
    if redirect_uris is not None:
        registered = f"Registered is only {', '.join(redirect_uris)}."
    variables = sandbox_options(root, "oauth2").items()
    return [
        f"The sandbox answers at {root}",
        f"Log in as {LOGINS}, or sign up there.",
        "",
        'client_id = consumer_key = "sandbox-client"',
        'client_secret = consumer_secret = "sandbox-secret"',
        "OAuth 2.1:",
        f'    OAuth2Provider("{root}/authorize", "{root}/oauth/token",',
        f'                   api_url="{root}", sign_out_url="{root}/sign-out")',
        "OAuth 1.0a:",
        f'    OAuth1Provider("{root}/oauth/request_token", "{root}/oauth/authorize",',
        f'                   "{root}/oauth/access_token", api_url="{root}")',
        "",
        "As variables; `scconnect sandbox -- COMMAND` sets them for your site:",
        *(f"    SCCONNECT_{option.upper()}={text}" for option, text in variables),
        "",
        f"{registered} Ctrl-C ends the sandbox.",
    ]


def _secret(chosen: argparse.Namespace) -> int:
    import secrets

    _say(secrets.token_urlsafe(32))
    return 0


def _sql_schema(chosen: argparse.Namespace) -> int:
    try:
        from scconnect_wsgi.stores.sql import sql_schema

        _say(sql_schema(chosen.url).removesuffix("\n"))
    except (ConfigurationError, ModuleNotFoundError) as error:
        _tell(str(error))
        return 1
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from scconnect_wsgi.check import Target, check

    with _ended_by_signals():
        ok, text = check(
            chosen.target or Target(),
            online=chosen.online,
            url=chosen.url or "",
            ca_bundle=chosen.ca_bundle,
            json=chosen.json,
        )
    _say(text)
    return 0 if ok else 1


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise SystemExit in the block, so that it ends what it has started.

    Those that are not left to the system, as nohup's SIGHUP is ignored, stay as they are.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    known = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    numbers = [each for each in known if each and signal.getsignal(each) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _stopped_by_signals() -> Callable[[], object]:
    """Return a function that waits for Ctrl-C or SIGTERM, so that the servers stop in order.

    It waits for a pipe and not for a threading.Event, whose lock may be held by the thread that
    the signal interrupts.
    """
    reader, writer = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.write(writer, b"."))
    return lambda: os.read(reader, 1)


def _say(*lines: str) -> None:
    """Print lines at once, because a program that reads them through a pipe waits for them.

    Raises _OutputError.
    """
    text = "".join(f"{line}\n" for line in lines)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:  # as `head` leaves it
        _discard(sys.stdout)
        raise _OutputError from None
    except OSError as error:
        _discard(sys.stdout)
        raise _OutputError(error.strerror or "the system refused") from None


def _tell(text: str) -> None:
    """Print a line to stderr. If that cannot be written, the command goes on without it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Lead a stream that cannot be written nowhere, or Python would try again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
