"""The command line: ``scconnect demo``, ``sandbox``, ``check`` and ``secret``.

Each command imports what it needs when it runs, so that printing a secret loads no server.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scconnect_wsgi.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from scconnect_wsgi.sandbox import Server

CALLBACK_PATH = "/oauth/access_token"  # SCConnect's default access_token_path
LOGINS = "joe (password joe) or ann (password ann)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for failure.

    A mistyped command ends the process with exit status 2.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen))
    except OSError as error:
        print(_reason(error, getattr(chosen, "port", None)), file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scconnect", description='"Connect with SoundCloud" for WSGI applications.'
    )
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

    sandbox = commands.add_parser(
        "sandbox", help="run only the local SoundCloud, for your own tests"
    )
    sandbox.add_argument(
        "--port", type=_port, default=8001, help="0 for any free port (default: 8001)"
    )
    sandbox.set_defaults(run=_sandbox)

    check = commands.add_parser("check", help="check the SCCONNECT_* environment variables")
    check.set_defaults(run=lambda chosen: _check(os.environ))

    secret = commands.add_parser("secret", help="print a new secret key")
    secret.set_defaults(run=_secret)
    return parser


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65_535):
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _reason(error: OSError, port: int | None) -> str:
    import errno

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
            f"Tokens are kept in {demo.token_file}",
            "Ctrl-C ends the demo.",
        )
        wait()
    _say("Stopped.")
    return 0


def _sandbox(chosen: argparse.Namespace) -> int:
    from scconnect_wsgi.sandbox import Sandbox, serve

    wait = _stopped_by_signals()
    with serve(Sandbox(), chosen.port) as server:
        _say(*_sandbox_lines(server))
        wait()
    _say("Stopped.")
    return 0


def _sandbox_lines(server: Server) -> list[str]:
    root = server.url
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
        "Every callback on localhost, 127.0.0.1 and [::1] is registered. Ctrl-C ends the sandbox.",
    ]


def _secret(chosen: argparse.Namespace) -> int:
    import secrets

    print(secrets.token_urlsafe(32))
    return 0


def _check(environ: Mapping[str, str]) -> int:
    from scconnect_wsgi.config import build, from_environ

    # A site that calls SCConnect itself, with these variables, gives store_token in its code.
    given = {"SCCONNECT_STORE_TOKEN": "HAND_OVER", **environ}
    settings, problems = from_environ(given, required=["base_url"])
    try:
        build(_no_application, settings, problems)
    except ConfigurationError as error:
        print(error.message)
        return 1
    site = settings.targets["site"]
    callback = site["base_url"] + site.get("access_token_path", CALLBACK_PATH)
    oauth1 = settings.protocol == "oauth1"
    print(f"The settings for {'OAuth 1.0a' if oauth1 else 'OAuth 2.1'} are fine.")
    print(f"Register this callback URL with the provider, byte for byte: {callback}")
    if oauth1 and "request_token_url" not in settings.targets["provider"]:
        print("SoundCloud itself has retired OAuth 1.0a: give the addresses of another provider.")
    return 0


def _no_application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    raise NotImplementedError


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
    # Flushed, because a program that reads this through a pipe waits for it.
    print(*lines, sep="\n", flush=True)
