"""Errors for what went wrong, and deadlines, without a socket."""

import socket
import ssl
import time

import pytest
import requests
import urllib3

from scconnect_wsgi.errors import ProviderError, ProviderUnavailable, RateLimited
from scconnect_wsgi.transport._deadline import Deadline, current_deadline, deadline, paused
from scconnect_wsgi.transport._failures import error_for, error_for_status

HOST = "provider.example"


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 428, 431])
def test_a_status_that_is_an_answer_is_no_error(status):
    assert error_for_status("The API", status, "7") is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_after_a_5xx_the_outcome_is_unknown(status):
    error = error_for_status("The API", status, "7")
    assert type(error) is ProviderUnavailable
    assert (error.retry_after, error.outcome_unknown) == (7, True)
    assert str(status) in error.message


def test_a_429_did_nothing():
    error = error_for_status("The API", 429, None)
    assert type(error) is RateLimited
    assert (error.retry_after, error.outcome_unknown) == (None, False)


def chained(error, cause):
    error.__cause__ = cause
    return error


POOL = urllib3.HTTPConnectionPool("localhost")
LOOP = OSError("outer")
LOOP.__cause__ = OSError("inner", LOOP)
EXCEPTIONS = {
    "an address that is none": (requests.exceptions.InvalidURL("no host"), ProviderError),
    "a value": (ValueError("Invalid header value"), ProviderError),
    "a name": (requests.ConnectionError(socket.gaierror("unknown")), ProviderUnavailable),
    "a certificate": (
        urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("self-signed")),
        ProviderUnavailable,
    ),
    "a timeout": (urllib3.exceptions.ReadTimeoutError(POOL, "/", "late"), ProviderUnavailable),
    "a refusal": (chained(requests.ConnectionError(), OSError()), ProviderUnavailable),
    "causes in a circle": (LOOP, ProviderUnavailable),
    "recursion": (requests.exceptions.SSLError(RecursionError("whisper")), ProviderUnavailable),
}


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize(("exception", "kind"), EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_an_exception_is_one_typed_error(exception, kind, sent):
    error = error_for(exception, f"https://{HOST}/token", sent=sent)
    assert type(error) is kind
    assert HOST in error.message
    assert error.outcome_unknown is sent
    assert "whisper" not in error.message


def test_a_deadline_ends_with_its_block():
    assert current_deadline() is None
    with deadline(5) as outer:
        with deadline(0.001) as inner:
            assert current_deadline() is inner
        assert current_deadline() is outer
        assert 4 < outer.left() <= 5
    assert current_deadline() is None


def test_no_time_left_is_a_timeout():
    limit = Deadline(0)
    assert limit.expired
    with pytest.raises(TimeoutError):
        limit.left()


def test_a_pause_does_not_count():
    with deadline(5) as limit:
        before = limit.left()
        with paused():
            assert current_deadline() is None
            time.sleep(0.05)
        assert before - limit.left() < 0.05
        assert current_deadline() is limit


def test_a_pause_outside_of_any_deadline_is_nothing():
    with paused():
        assert current_deadline() is None
