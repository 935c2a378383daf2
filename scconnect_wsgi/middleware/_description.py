"""What a finished SCConnect was given, for ``scconnect check``."""

from __future__ import annotations

from dataclasses import dataclass

from scconnect_wsgi.flow import Flow
from scconnect_wsgi.middleware._files import common_files
from scconnect_wsgi.middleware._scconnect import SCConnect


@dataclass(frozen=True)
class Description:
    """The addresses of a site, and its flow.

    ``base_url`` is None if it was not given, or is a callable (``base_url_is_called``).
    ``relaying_url`` is the callback URL of the deployment that relays the provider's answers to
    this one; it is empty if none does.
    ``sign_in_path`` is empty without ``sign_in_url``. ``answers_failures`` says that the site
    itself answers a flow that failed.
    """

    flow: Flow
    base_url: str | None
    base_url_is_called: bool
    start_path: str
    callback_path: str
    relaying_url: str
    assets_path: str
    cookie_max_age: int
    names_users: bool
    sign_in_path: str
    answers_failures: bool

    @property
    def callback_url(self) -> str | None:
        """The URL to register with the provider, or None if only a request can tell."""
        if self.relaying_url:
            return self.relaying_url
        return None if self.base_url is None else self.base_url + self.callback_path

    @property
    def script(self) -> bytes:
        """The script that the site serves at ``assets_path``."""
        return common_files()["sc-connect.js"].body


def describe(site: SCConnect) -> Description:
    """Return what an SCConnect was given."""
    base_url = site._hooks.base_url
    return Description(
        flow=site._flow,
        base_url=base_url if isinstance(base_url, str) else None,
        base_url_is_called=callable(base_url),
        start_path=site._start_path,
        callback_path=site._callback_path,
        relaying_url=site._relay.callback_url("") if site._relay.has_callback_url else "",
        assets_path=site._assets_path,
        cookie_max_age=site._cookies.max_age,
        names_users=site._hooks.name_users,
        sign_in_path=site._sign_in_path.partition("?")[0],
        answers_failures=site._hands_failures_over or site._hooks.answers_failures,
    )
