"""SoundCloud on your own machine: a provider of both protocols that verifies what it is sent.

    from scconnect_wsgi.sandbox import Sandbox, serve

    sandbox = Sandbox()
    with serve(sandbox, port=8001) as server:
        provider = sandbox.oauth2_provider(server.url)
        flow = OAuth2("sandbox-client", "sandbox-secret", provider=provider)

It keeps everything in memory, unless it is given a ``state_file``. It knows joe (password joe) and
ann (password ann); anybody else can sign up. It can be told to misbehave:
``scconnect_wsgi.sandbox.faults`` lists how.

Inside, ``_app`` is the table of endpoints. ``_pages`` and ``_consent`` are for users, ``_oauth1``,
``_oauth2`` and ``_api`` for programs; all keep their records in ``_state``, and ``_state_file``
keeps those in a file. ``_server`` is the HTTP server, ``_command`` runs a site with it, and
``_browser`` is a user for tests.
"""

from scconnect_wsgi.sandbox._app import Sandbox
from scconnect_wsgi.sandbox._browser import Browser, decide
from scconnect_wsgi.sandbox._command import CommandNotStartedError
from scconnect_wsgi.sandbox._command import run as run_command
from scconnect_wsgi.sandbox._server import Server, serve
from scconnect_wsgi.sandbox._state_file import StateFileError

# `Browser` and `decide` are for `scconnect_wsgi.testing`, `run_command` and the two errors for the
# command line.
__all__ = [
    "Browser",
    "CommandNotStartedError",
    "Sandbox",
    "Server",
    "StateFileError",
    "decide",
    "run_command",
    "serve",
]
