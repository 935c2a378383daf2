"""Print a report: for people, or as one JSON document."""

from __future__ import annotations

import itertools
import json

from scconnect_wsgi.check._report import Finding, Report
from scconnect_wsgi.documentation import entry, page
from scconnect_wsgi.errors import ConfigurationError

_REGISTER = "Register this callback URL with the provider, byte for byte: "
# After these the callback URL will be another one
_WRONG_ROOT = frozenset(
    {"loopback-callback", "host-differs", "scheme-differs", "prefix-differs", "port-differs"}
)


def as_text(report: Report) -> str:
    """Return a report for people: what is wrong first."""
    lines = []
    for advice, findings in itertools.groupby(report.findings, _advice):
        lines += [finding.message for finding in findings]
        lines += advice
    addresses = dict.fromkeys(_documentation(finding) for finding in report.findings)
    lines += [f"See {address}" for address in addresses]
    lines += report.notes if report.ok else _without_praise(report.notes)
    lines += [_REGISTER + url for url in _to_register(report)]
    return "\n".join(lines)


def _advice(finding: Finding) -> list[str]:
    """Return the lines below a finding, or below several for which they are the same."""
    lines = []
    if finding.cause:
        lines.append(f"    Likely cause: {finding.cause}")
    if finding.mend:
        lines.append(f"    To mend it: {finding.mend}")
    return lines


def _documentation(finding: Finding) -> str:
    """Return the address at which a finding is explained. The settings have an error of theirs."""
    is_about_settings = finding.code == ConfigurationError.code
    return entry(finding.code) if is_about_settings else page("check")


def _without_praise(notes: list[str]) -> list[str]:
    return [note for note in notes if not note.endswith("are fine.")]


def _to_register(report: Report) -> list[str]:
    """Return the callback URLs, if base_url need not be changed first."""
    is_wrong = any(finding.code in _WRONG_ROOT for finding in report.findings)
    return [] if is_wrong else report.callback_urls


def as_json(report: Report) -> str:
    """Return a report as JSON; docs/check.md lists its keys."""
    findings = [
        {
            "code": finding.code,
            "message": finding.message,
            "cause": finding.cause,
            "mend": finding.mend or finding.message,
            "documentation": _documentation(finding),
        }
        for finding in report.findings
    ]
    document = {
        "ok": report.ok,
        "callback_urls": _to_register(report),
        "findings": findings,
        "notes": report.notes,
    }
    return json.dumps(document, indent=2)
