"""The provider, in a process of its own: the sandbox, which verifies what it is sent, over http and
over TLS.

`python provider.py CERTIFICATE KEY` prints its two addresses and ends when its standard input does.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import certifi
import trustme

from scconnect_wsgi.sandbox import Sandbox, serve
from scconnect_wsgi.sandbox._server import Server

HOST = "127.0.0.1"


class Provider(NamedTuple):
    """Where it answers, and the CA bundle that a client over TLS needs."""

    http: str
    https: str
    ca_bundle: str


class TlsServer(Server):
    """The sandbox's server behind TLS; the handshake is left to the thread of each connection."""

    def __init__(self, app, tls: ssl.SSLContext) -> None:
        super().__init__(app, HOST, 0)
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://{HOST}:{self.port}"
        self.base_environ["HTTPS"] = "on"  # what wsgiref takes the scheme from


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """A running provider; ``folder`` keeps the certificate made for this run."""
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    chain = folder / "chain.pem"
    key = folder / "key.pem"
    bundle = folder / "bundle.pem"
    certificate.private_key_pem.write_to_path(str(key))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(chain), append=True)
    # The whole bundle, as on any site: reading it is what most of the peers' time goes into.
    bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    command = [sys.executable, __file__, str(chain), str(key)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Provider(
                process.stdout.readline().strip(), process.stdout.readline().strip(), str(bundle)
            )
        finally:
            process.stdin.close()


def main(chain: str, key: str) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    sandbox = Sandbox()
    with serve(sandbox, host=HOST) as plain, TlsServer(sandbox, tls).start() as secure:
        print(plain.url, secure.url, sep="\n", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
