"""TLS contexts: whom a process trusts, and the certificate that it shows.

A context is made at the first use, never before: gevent and eventlet replace ``ssl.SSLContext``,
under ``gunicorn --preload`` after the application was imported, and a context made before that
recurses without end.
"""

from __future__ import annotations

import os
import ssl
import sys

from scconnect_wsgi.errors import ConfigurationError

PATCHED_LATE = (
    "The TLS connection recursed without end. Likely cause: gevent or eventlet replaced the ssl "
    "module while it was in use. Call monkey.patch_all() (or eventlet.monkey_patch()) before "
    "anything else."
)


def context_for(authorities: str, cert: str | tuple[str, str] | None = None) -> ssl.SSLContext:
    """Return a context that trusts ``authorities`` and shows the client certificate ``cert``.

    ``authorities`` is the path of a PEM file or of an OpenSSL folder. Raises OSError for files that
    cannot be read or hold no certificates.
    """
    # Looked up in ssl now: a name imported earlier would not be gevent's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # As ssl.create_default_context, which also reads the environment: SSLKEYLOGFILE would name a
    # file into which the keys of every connection are written.
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    if os.path.isdir(authorities):
        context.load_verify_locations(capath=authorities)
    else:
        context.load_verify_locations(cafile=authorities)
    if isinstance(cert, str):
        context.load_cert_chain(cert)
    elif cert is not None:
        context.load_cert_chain(*cert)
    return context


def check_bundle(ca_bundle: str) -> None:
    """Raise ConfigurationError unless ``ca_bundle`` is a file of PEM certificates.

    The context is thrown away.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_bundle)
    except (OSError, TypeError, ValueError):  # ssl.SSLError is an OSError
        raise ConfigurationError(
            "ca_bundle", "cannot be read as a file of PEM certificates."
        ) from None
