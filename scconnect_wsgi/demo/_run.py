"""Put the demo together: the sandbox, the site, and an SCConnect around it for each protocol."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scconnect_wsgi import OAuth1, OAuth2, SCConnect
from scconnect_wsgi.demo._account import Api, Sign, with_oauth1, with_oauth2
from scconnect_wsgi.demo._site import Connection, Site, browser_of
from scconnect_wsgi.demo._tokens import Tokens
from scconnect_wsgi.flow import Flow
from scconnect_wsgi.sandbox import Sandbox, Server, serve

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The site listens here but is visited as localhost, so that the sandbox is another site.
HOST = "127.0.0.1"
CLIENT = ("sandbox-client", "sandbox-secret")
ROOTS = {"oauth2": "/oauth", "oauth1": "/oauth1"}  # of the paths, if both protocols are shown
NOTES = {
    "oauth2": "What SoundCloud uses today: an authorization code, with PKCE.",
    "oauth1": "What the specification of 2009 describes, and other providers still use.",
}


@dataclass(frozen=True)
class Demo:
    """A running demo: the URLs of the site and of the sandbox, and the file with the tokens."""

    url: str
    sandbox_url: str
    token_file: Path


@contextmanager
def start(port: int, protocols: Sequence[str], folder: Path | None = None) -> Iterator[Demo]:
    """Run the demo until the block ends.

    ``port`` 0 stands for any free port. The tokens are kept in ``folder``, which is the current
    one unless given. Raises OSError if the port is taken.
    """
    # Bound first, because all addresses depend on its port.
    server = Server(_not_yet, HOST, port)
    url = f"http://localhost:{server.port}"
    roots = ROOTS if len(protocols) > 1 else {protocols[0]: "/oauth"}
    with ExitStack() as stack:
        stack.callback(server.server_close)  # it has the port even before it is started
        tokens = Tokens(folder or Path.cwd())
        sandbox = Sandbox(redirect_uris=[f"{url}{roots[name]}/access_token" for name in protocols])
        soundcloud = stack.enter_context(serve(sandbox))
        connections = [
            _connection(name, roots[name], sandbox, soundcloud.url) for name in protocols
        ]
        server.app = _wrapped(Site(connections, tokens, url, soundcloud.url), connections, url)
        stack.enter_context(server.start())
        yield Demo(f"{url}/", f"{soundcloud.url}/", tokens.path)


def _not_yet(environ: object, start_response: object) -> list[bytes]:
    raise RuntimeError("The server was started before its application was made.")


def _connection(name: str, root: str, sandbox: Sandbox, sandbox_url: str) -> Connection:
    """Return the connection of one protocol: its flow, and the API called with its tokens."""
    flow: Flow
    sign: Sign
    if name == "oauth2":
        flow = OAuth2(*CLIENT, provider=sandbox.oauth2_provider(sandbox_url))
        sign = with_oauth2
    else:
        flow = OAuth1(*CLIENT, provider=sandbox.oauth1_provider(sandbox_url))
        sign = with_oauth1(*CLIENT)
    return Connection(
        name,
        flow,
        NOTES[name],
        f"{root}/request_token",
        f"{root}/access_token",
        Api(sandbox_url, sign),
    )


def _wrapped(site: Site, connections: Sequence[Connection], url: str) -> WSGIApplication:
    """Return the site, wrapped in an SCConnect for each connection."""
    app: WSGIApplication = site
    secret_key = secrets.token_urlsafe(32)  # may be shared: the flow's audience salts a cookie
    for connection in connections:
        app = SCConnect(
            app,
            connection.flow,
            secret_key=secret_key,
            store_token=site.store_token_of(connection),
            base_url=url,
            request_token_path=connection.start,
            access_token_path=connection.callback,
            identify=browser_of,
        )
    return app
