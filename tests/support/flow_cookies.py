"""Cookies of flows, made and read without a site."""

from __future__ import annotations

import hashlib

AUDIENCE = "oauth2 https://provider.example/authorize https://provider.example/token client"
BASE = "http://localhost:8000"
PENDING = {"state": "an id", "verifier": "v" * 43}


def set_cookies(answer):
    """Return the Set-Cookie headers of an answer, one by one."""
    return answer.raw.headers.getlist("Set-Cookie")


def kept(values, header=""):
    """Return the Cookie header that a browser sends after it got some Set-Cookie values."""
    jar = dict(pair.split("=", 1) for pair in header.split("; ") if pair)
    for value in values:
        name, _, rest = value.partition("=")
        if "max-age=0" in value.lower():
            jar.pop(name, None)
        else:
            jar[name] = rest.partition(";")[0]
    return "; ".join(f"{name}={value}" for name, value in jar.items())


def issued(made_by, flow_id="an id", header="", base=BASE):
    """Return the Cookie header of a browser that has just begun a flow."""
    return kept(made_by.issue(header, flow_id, base, "", PENDING), header)


def named(flow_id):
    """Return the name of a flow's cookie."""
    return "scconnect-" + hashlib.sha256(flow_id.encode()).hexdigest()[:24]
