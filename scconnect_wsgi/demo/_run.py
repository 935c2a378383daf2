"""Put the demo together: the sandbox, the site, and an SCConnect around it for each protocol."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scconnect_wsgi import OAuth1, OAuth2
from scconnect_wsgi.connections import Connections
from scconnect_wsgi.demo._days import Days
from scconnect_wsgi.demo._site import Button, Site, browser_of
from scconnect_wsgi.sandbox import Sandbox, Server, serve
from scconnect_wsgi.stores import MemoryStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The site listens here but is visited as localhost, so that the sandbox is another site.
HOST = "127.0.0.1"
CLIENT = ("sandbox-client", "sandbox-secret")
# Of the endpoints and of the browser files; the second protocol's only if both are shown.
FIRST_PATHS = ("/oauth", "/sc-connect")
SECOND_PATHS = ("/oauth1", "/oauth1/sc-connect")
NOTES = {
    "oauth2": "What SoundCloud uses today: an authorization code, with PKCE.",
    "oauth1": "What the specification of 2009 describes, and other providers still use.",
}


@dataclass(frozen=True)
class Demo:
    """A running demo: the URLs of the site and of the sandbox."""

    url: str
    sandbox_url: str


@contextmanager
def start(port: int, protocols: Sequence[str]) -> Iterator[Demo]:
    """Run the demo until the block ends.

    ``port`` 0 stands for any free port. Raises OSError if the port is taken.
    """
    # Bound first, because all addresses depend on its port.
    server = Server(_not_yet, HOST, port)
    url = f"http://localhost:{server.port}"
    paths = dict(zip(protocols, (FIRST_PATHS, SECOND_PATHS), strict=False))
    with ExitStack() as stack:
        stack.callback(server.server_close)  # it has the port even before it is started
        sandbox = Sandbox(redirect_uris=[f"{url}{root}/access_token" for root, _ in paths.values()])
        soundcloud = stack.enter_context(serve(sandbox))
        buttons = [
            _button(name, root, assets, sandbox, soundcloud.url)
            for name, (root, assets) in paths.items()
        ]
        site = Site(buttons, Days(sandbox), url, soundcloud.url)
        server.app = _wrapped(site, buttons, url)
        stack.enter_context(server.start())
        yield Demo(f"{url}/", f"{soundcloud.url}/")


def _not_yet(environ: object, start_response: object) -> list[bytes]:
    raise RuntimeError("The server was started before its application was made.")


def _button(name: str, root: str, assets: str, sandbox: Sandbox, sandbox_url: str) -> Button:
    """Return the button of one protocol.

    Each has a store of its own: the same account, connected with both, is two connections.
    """
    flow: OAuth1 | OAuth2
    if name == "oauth2":
        flow = OAuth2(*CLIENT, provider=sandbox.oauth2_provider(sandbox_url))
    else:
        flow = OAuth1(*CLIENT, provider=sandbox.oauth1_provider(sandbox_url))
    connections = Connections(flow, MemoryStore(), identify=browser_of)
    return Button(name, flow, NOTES[name], connections, root, assets)


def _wrapped(site: Site, buttons: Sequence[Button], url: str) -> WSGIApplication:
    """Return the site, wrapped once for each button."""
    app: WSGIApplication = site
    secret_key = secrets.token_urlsafe(32)  # may be shared: the flow's audience salts a cookie
    for button in buttons:
        app = button.connections.wrap(
            app,
            secret_key=secret_key,
            base_url=url,
            request_token_path=f"{button.root}/request_token",
            access_token_path=f"{button.root}/access_token",
            assets_path=button.assets,
        )
    return app
