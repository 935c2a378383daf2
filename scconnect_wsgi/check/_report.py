"""What a check has found, and how it travels from the process that looks to the one that prints."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

LOADING = "loading the site"  # what is done while code of the site runs


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    ``code`` names the kind of it, ``message`` says what is wrong. ``cause`` and ``mend`` are the
    likely cause and what to do about it; they are empty if the message says it.
    """

    code: str
    message: str
    cause: str = ""
    mend: str = ""


class Reporter(Protocol):
    """Takes what a check finds out, as soon as it is known."""

    def find(self, code: str, message: str, *, cause: str = "", mend: str = "") -> None:
        """Report something that is wrong."""

    def note(self, text: str) -> None:
        """Report something that is good to know, and nothing wrong."""

    def callback(self, url: str) -> None:
        """Report a callback URL to register with the provider."""

    def doing(self, what: str) -> None:
        """Say what comes next, for the case that it never ends: "asking api.example"."""


@dataclass
class Report:
    """Everything that a check has found out; a Reporter."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    callback_urls: list[str] = field(default_factory=list)
    activity: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def find(self, code: str, message: str, *, cause: str = "", mend: str = "") -> None:
        """Keep a finding, once."""
        finding = Finding(code, message, cause, mend)
        if finding not in self.findings:
            self.findings.append(finding)

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def callback(self, url: str) -> None:
        """Keep a callback URL, once."""
        if url not in self.callback_urls:
            self.callback_urls.append(url)

    def doing(self, what: str) -> None:
        """Remember what comes next."""
        self.activity = what


class LineReporter:
    """Writes each piece of a report as a line of JSON, for ``read_line`` in another process."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def find(self, code: str, message: str, *, cause: str = "", mend: str = "") -> None:
        """Write a finding."""
        self._write("find", **asdict(Finding(code, message, cause, mend)))

    def note(self, text: str) -> None:
        """Write a note."""
        self._write("note", text=text)

    def callback(self, url: str) -> None:
        """Write a callback URL."""
        self._write("callback", url=url)

    def doing(self, what: str) -> None:
        """Write what comes next."""
        self._write("doing", what=what)

    def done(self) -> None:
        """Write that nothing more comes."""
        self._write("done")

    def _write(self, call: str, **arguments: str) -> None:
        self._file.write(json.dumps([call, arguments]) + "\n")
        self._file.flush()


def read_line(line: bytes, report: Report) -> bool:
    """Add a line of a LineReporter to a report. Return whether nothing more comes."""
    call, arguments = json.loads(line)
    if call == "done":
        return True
    getattr(report, call)(**arguments)
    return False
