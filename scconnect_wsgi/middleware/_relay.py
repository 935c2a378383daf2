"""One registered callback URL for several deployments.

A provider that knows one callback URL for an application sends every user there, whichever
deployment they came from: production, staging or a laptop. The deployment at that address, the
owner, sends those of the others on to them:

    a laptop        start: sign the own root into the flow -> to the provider
    the provider    the user allows it -> to the registered callback URL
    the owner       callback: read the signed root -> 303 to the callback of the laptop
    the laptop      callback: as if the user had come from the provider

The owner needs ``relay_to`` and ``relay_key``, the others ``callback_url`` and ``relay_key``. What
travels is a tag, which the flow keeps where its protocol has room for it (``RelayedFlow``):

    <nonce>.<seconds since the epoch at which it expires>.<root in Base64>.<signature>

The owner neither asks anybody nor stores anything. It reads no cookie, because the flow's cookies,
and with them the code verifier or the secret of the request token, are at the other deployment.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlsplit

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from scconnect_wsgi.errors import ConfigurationError, FlowExpired, FlowMismatch
from scconnect_wsgi.flow import Departure, Flow, RelayedFlow
from scconnect_wsgi.keys import checked_keys, refuse_credentials
from scconnect_wsgi.middleware._cookies import CLOCK_SKEW, MAX_AGE
from scconnect_wsgi.middleware._responses import redirect
from scconnect_wsgi.urls import LOOPBACK, checked_root, checked_url, origin

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log: logging.Logger = logging.getLogger("scconnect_wsgi")

_TAG = re.compile(r"[\w-]+\.(?P<expires_at>\d{1,12})\.(?P<root>[\w-]*)", re.ASCII)
# What a query may hold as it is: printable ASCII without the space; % is encoded already
_QUERY_CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True)
class _Named:
    """What a tag says: the root of a deployment, and until when (seconds since the epoch)."""

    root: str
    expires_at: int


class RelayTags:
    """Makes and verifies the tags of one application at one provider.

    ``keys`` are oldest to newest: the newest signs, all verify. ``audience`` (protocol, provider,
    client) is part of the signature. ``clock`` returns the seconds since the epoch.
    """

    def __init__(self, keys: Sequence[bytes], audience: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        # One for each key, newest first
        self._signers: list[Any] = [
            Signer(
                key,
                salt=f"scconnect_wsgi relay {audience}",
                key_derivation="hmac",
                digest_method=hashlib.sha256,
            )
            for key in reversed(keys)
        ]

    def tag(self, nonce: str, *, root: str, lifetime: int) -> str:
        """Return a tag that names the deployment at ``root`` for ``lifetime`` seconds.

        ``nonce`` consists of letters, digits, ``_`` and ``-``.
        """
        expires_at = int(self._clock()) + lifetime
        encoded = base64_encode(root).decode("ascii")
        text = f"{nonce}.{expires_at}.{encoded}"
        return f"{text}.{self._signers[0].get_signature(text).decode('ascii')}"

    def is_signed(self, tag: str) -> bool:
        """Return whether a tag is signed with one of the keys.

        The signature is compared as text: Base64 has several texts for the same bytes.
        """
        text, _, signature = tag.rpartition(".")
        given = signature.encode("utf-8", "surrogatepass")
        return any(
            hmac.compare_digest(signer.get_signature(text.encode("utf-8", "surrogatepass")), given)
            for signer in self._signers
        )

    def check_age(self, expires_at: int) -> None:
        """Raise FlowExpired for a tag that is too old, or that claims to live too long."""
        remaining = expires_at - self._clock()
        if remaining < -CLOCK_SKEW:
            raise FlowExpired(
                "The user took too long to come back to this deployment, which relays the "
                "provider's answer to another one; or the clocks of the two differ. Start again."
            )
        if remaining > MAX_AGE + CLOCK_SKEW:
            raise FlowExpired(
                "The provider's answer belongs to another deployment, whose clock differs from "
                "this one's by more than a minute. Set both clocks."
            )


class Relay:
    """What one SCConnect does for the flows of other deployments, and they for its own.

    ``callback_url`` is the registered one, if it is not this deployment's own. ``relay_to`` are the
    roots of the deployments that get their answers from here, ``relay_key`` is what they all share.
    ``callback_path`` is the path of the callback below a root, ``lifetime`` the seconds that a flow
    may take. Raises ConfigurationError for values that cannot work.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        callback_url: str | None,
        relay_to: Sequence[str],
        relay_key: str | bytes | Sequence[str | bytes] | None,
        callback_path: str,
        lifetime: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._flow = flow
        self._relayed_flow = flow if isinstance(flow, RelayedFlow) else None
        self._path = callback_path
        self._lifetime = lifetime
        self._registered = _checked_callback(callback_url, callback_path)
        self._allowed = _checked_targets(relay_to)
        self._tags = _tags(flow, relay_key, clock)
        if self._allowed and self._tags is None:
            raise ConfigurationError(
                "relay_key",
                "is missing: relay_to needs it, to know the answers that belong to the others. "
                "`scconnect secret` makes one; give it to all of them.",
            )
        is_used = self._allowed or self._registered
        if is_used and self._relayed_flow is None:
            raise ConfigurationError(
                "callback_url" if self._registered else "relay_to",
                f"does not work with the flow {type(flow).__name__}, which has no begin_relayed.",
            )

    def check_root(self, base_url: object) -> None:
        """Raise ConfigurationError if the flows of the site at ``base_url`` could not come back.

        ``base_url`` is the option of SCConnect: a callable, or None, may be any root.
        """
        root = checked_root(base_url, "base_url") if isinstance(base_url, str) else ""
        if root and self._is_own(root):
            self._refuse_own_root(root)
        elif self._registered and self._tags is None:
            self._refuse_missing_key()

    def _refuse_own_root(self, root: str) -> None:
        """Raise ConfigurationError if ``relay_to`` names the deployment at ``root``, this one."""
        if self._allowed.isdisjoint({root, origin(root)}):
            return
        raise ConfigurationError(
            "relay_to",
            "must name other deployments only, and base_url, the address of this one, is in it.",
        )

    def _refuse_missing_key(self) -> NoReturn:
        raise ConfigurationError(
            "relay_key",
            "is missing: callback_url is the address of another deployment, which sends the user "
            "on to this one only if both have the same relay_key. Give this deployment that key, "
            "and name this deployment in relay_to of the other one. If callback_url is this "
            "deployment's own address, base_url must be the beginning of it.",
        )

    @property
    def has_callback_url(self) -> bool:
        """Whether the callback URL is given as such, and not made from the root."""
        return self._registered != ""

    def callback_url(self, root: str) -> str:
        """Return the registered callback URL for the deployment at ``root``."""
        return self._registered or root + self._path

    def begin(self, root: str) -> Departure:
        """Start a flow of the deployment at ``root``. Raises ConnectError."""
        callback_url = self.callback_url(root)
        if self._relayed_flow is None or self._tags is None or self._is_own(root):
            return self._flow.begin(callback_url)
        tag = partial(self._tags.tag, root=_normal(root), lifetime=self._lifetime)
        return self._relayed_flow.begin_relayed(callback_url, tag)

    def forward(
        self, query: Mapping[str, str], raw: str, *, root: str, arrived: str
    ) -> WSGIApplication | None:
        """Return the redirect that leads a callback to the deployment that it belongs to.

        ``query`` is the callback's query, ``raw`` the same as it came, ``root`` the root of this
        deployment, ``arrived`` the root as the request names it, without a scheme: its Host and
        SCRIPT_NAME. Returns None for a callback that belongs here.
        Raises FlowMismatch or FlowExpired for one that names another deployment and must not be
        sent there.
        """
        tag = self._relayed_flow.relay_tag(query) if self._relayed_flow else ""
        if not tag:
            return None
        named = _read(tag)
        if named is not None and named.root == _normal(root):
            return None
        if named is None and self._tags is None:  # no deployment has made this
            return None
        target = self._checked_target(tag, named, root)
        if _leads_here(target, root, arrived):
            raise FlowMismatch(
                f"The provider's answer belongs to the deployment at {target}, but the deployment "
                f"at {root} answers there, and would send the user to itself forever. For the "
                "developer: take that address out of relay_to, or use it as base_url."
            )
        log.info("A callback was sent on to the deployment at %s, to which it belongs.", target)
        # Printable ASCII only: a header must not hold anything else
        kept = quote(raw.encode("latin-1", "replace"), safe=_QUERY_CHARACTERS)
        return redirect(f"{target}{self._path}?{kept}", [])

    def _is_own(self, root: str) -> bool:
        """Return whether the registered callback URL is that of the deployment at ``root``."""
        registered = urlsplit(self.callback_url(root))
        own = urlsplit(root + self._path)
        return (origin(registered), registered.path) == (origin(own), own.path)

    def _checked_target(self, tag: str, named: _Named | None, root: str) -> str:
        """Return the root of the deployment that a tag names, if it may get the callback."""
        if self._tags is None:
            raise FlowMismatch(
                "The provider's answer belongs to a flow that another deployment of this "
                "application started, and this one is not set up to relay it. For the developer: "
                "give this deployment relay_to and relay_key."
            )
        if named is None or not self._tags.is_signed(tag):
            raise FlowMismatch(
                "The provider's answer names another deployment of this application, but not with "
                "a signature of this one's relay_key. Likely causes: relay_key differs between the "
                "two, or so does the client or the provider, or somebody has made the link up."
            )
        self._tags.check_age(named.expires_at)
        if not self._may_get(named.root, root):
            shown = named.root if _is_root(named.root) else "an unusable address"
            raise FlowMismatch(
                f"The provider's answer belongs to the deployment at {shown}, which is not in the "
                "relay_to of this one. For the developer: add its exact root there, with its port."
            )
        return named.root

    def _may_get(self, target: str, root: str) -> bool:
        """Return whether the deployment at ``target`` may get callbacks from that at ``root``.

        It must be in ``relay_to``, or have the same path as ``root`` at an origin that is.
        """
        if not _is_root(target):
            return False
        has_same_path = urlsplit(target).path == urlsplit(root).path
        return target in self._allowed or (has_same_path and origin(target) in self._allowed)


def _normal(root: str) -> str:
    """Return a root as it is compared: a Host header may have capitals, or the default port."""
    return f"{origin(root)}{urlsplit(root).path}"


def _leads_here(target: str, root: str, arrived: str) -> bool:
    """Return whether a request to ``target`` would come back to the deployment at ``root``.

    ``arrived`` is the host and mount of a request that has arrived here. A proxy may have put a
    loopback host into it, which says nothing about the public address of this deployment, or have
    taken a prefix away: at the host of ``root``, its path is the right one.
    """
    to = urlsplit(target)
    own = urlsplit(root)
    if to.hostname in LOOPBACK and own.hostname not in LOOPBACK:
        return False
    here = f"{to.scheme}://{arrived}"
    if origin(here) != origin(to):
        return False
    return to.path == own.path or (to.netloc != own.netloc and to.path == urlsplit(here).path)


def _is_root(text: str) -> bool:
    """Return whether a text is a root as ``checked_root`` returns it."""
    try:
        return checked_root(text, "relay_to") == text
    except ConfigurationError:
        return False


def _read(tag: str) -> _Named | None:
    """Return what a tag says, signed or not; None if it cannot be read."""
    match = _TAG.fullmatch(tag.rpartition(".")[0])
    if match is None:
        return None
    try:
        root = base64_decode(match["root"]).decode("ascii")
    except (BadData, ValueError):
        return None
    return _Named(root, int(match["expires_at"]))


def _checked_callback(callback_url: str | None, path: str) -> str:
    """Return the registered callback URL as it is, or an empty string if there is none."""
    if callback_url is None:
        return ""
    checked_url(callback_url, "callback_url")
    if "?" in callback_url:
        raise ConfigurationError("callback_url", "must have no query.")
    if not urlsplit(callback_url).path.endswith(path):
        raise ConfigurationError(
            "callback_url",
            f"must end with access_token_path, {path}, which is the same on both deployments.",
        )
    return callback_url


def _checked_targets(relay_to: object) -> frozenset[str]:
    """Return the roots of the deployments to which callbacks may be sent on."""
    if not isinstance(relay_to, (list, tuple, set, frozenset)):
        raise ConfigurationError(
            "relay_to", 'must be a list of origins, such as ["http://localhost:8000"].'
        )
    if any(isinstance(root, str) and "*" in root for root in relay_to):
        raise ConfigurationError(
            "relay_to", "must name each origin in full, with its port: there are no wildcards."
        )
    return frozenset(checked_root(root, "relay_to") for root in relay_to)


def _tags(
    flow: Flow,
    relay_key: str | bytes | Sequence[str | bytes] | None,
    clock: Callable[[], float],
) -> RelayTags | None:
    """Return what makes and verifies tags, or None without a key."""
    if relay_key is None:
        return None
    keys = checked_keys(relay_key, "relay_key")
    is_credential = getattr(flow, "is_credential", None)
    if is_credential is not None:
        refuse_credentials(keys, is_credential, "relay_key")
    return RelayTags(keys, flow.audience, clock)
