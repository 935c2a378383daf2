"""Why a provider could not be reached, in a sentence that holds no secret."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import urllib3

from scconnect_wsgi.errors import ProviderError, ProviderUnavailable
from scconnect_wsgi.transport.tls import PATCHED_LATE

Failure = ProviderError | ProviderUnavailable


def explain(error: BaseException, host: str | None) -> Failure:
    """A sentence for what went wrong, from the kinds of the errors alone:

    their texts may hold secrets.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, RecursionError) for cause in causes):
        return ProviderUnavailable(f"{host} could not be asked. {PATCHED_LATE}")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ProviderUnavailable(
            f"The certificate of {host} was not accepted. Likely causes: another host answered, this machine's clock "
            "is wrong, or the authority is a private one, whose PEM file Transport(ca_bundle=...) takes."
        )
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ProviderUnavailable(
            f"The name {host} cannot be resolved. Check the provider's address."
        )
    # urllib3 calls a refused connection a kind of timeout
    late = [
        cause for cause in causes if not isinstance(cause, urllib3.exceptions.NewConnectionError)
    ]
    if any(isinstance(cause, (TimeoutError, urllib3.exceptions.TimeoutError)) for cause in late):
        return ProviderUnavailable(f"{host} did not answer in time. Try again later.")
    if any(isinstance(cause, (OSError, urllib3.exceptions.HTTPError)) for cause in causes[1:]):
        return ProviderUnavailable(
            f"{host} refused the connection, or broke it before its answer was complete."
        )
    return ProviderError(f"The request to {host}, or its answer, is not valid HTTP.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from;

    requests and urllib3 keep that in ``args`` or ``reason``.
    """
    seen: list[object] = [error]
    for cause in seen:
        if isinstance(cause, BaseException):
            yield cause
            wrapped = [
                *cause.args,
                getattr(cause, "reason", None),
                cause.__cause__,
                cause.__context__,
            ]
            seen += [other for other in wrapped if not any(other is known for known in seen)]
