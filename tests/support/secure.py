"""Servers over TLS, whose certificate a private authority has signed."""

from __future__ import annotations

import ssl
from contextlib import contextmanager

import trustme

from scconnect_wsgi.sandbox._server import Server


class Authority:
    """A private authority: ``tls`` is for a server on localhost, ``write(folder)`` for clients.

    ``write_certificate(folder)`` is for a server on localhost that is another program.
    """

    def __init__(self):
        authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._certificate = authority.issue_cert("localhost")
        self._certificate.configure_cert(self.tls)
        self._pem = authority.cert_pem

    def write(self, folder):
        """Write the authority's certificate into a folder, and return the path as text."""
        path = str(folder / "authority.pem")
        self._pem.write_to_path(path)
        return path

    def write_certificate(self, folder):
        """Write a server's certificate and key into a folder, under the names certbot gives."""
        for number, blob in enumerate(self._certificate.cert_chain_pems):
            blob.write_to_path(str(folder / "fullchain.pem"), append=number > 0)
        self._certificate.private_key_pem.write_to_path(str(folder / "privkey.pem"))


@contextmanager
def serving_over_tls(app, tls):
    """Serve an application over TLS until the block ends, and yield its address."""

    def over_https(environ, start_response):
        environ["wsgi.url_scheme"] = "https"
        return app(environ, start_response)

    server = Server(over_https, "127.0.0.1", 0)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with server.start():
        yield f"https://localhost:{server.port}"
