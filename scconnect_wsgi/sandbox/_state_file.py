"""The file that the state of a sandbox is kept in, so that it survives a restart.

Every change is in the file before its request is answered. So no token that somebody has got is
lost, even if the process is killed.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import tempfile
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scconnect_wsgi.sandbox._records import (
    Access,
    Code,
    Grant,
    RequestToken,
    Session,
    Track,
    User,
)
from scconnect_wsgi.sandbox._state import State
from scconnect_wsgi.sandbox._state_shape import FORMAT, WrongStateError, check_state

log: logging.Logger = logging.getLogger(__name__)

# Not to wait at a named pipe for somebody who writes to it; Windows has no such flag
_READ = os.O_RDONLY | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
IN_USE = "The state file is in use by another sandbox. Stop that one, or give another name."


class StateFileError(ValueError):
    """A state file cannot be used. The message says why, and what to do."""


class StateNotKeptError(Exception):
    """A change is not in the file, because it cannot be written."""


class StateFile:
    """A file that keeps a state. The first use reads the file, unless it is new or empty.

    Only its owner may read it. Raises StateFileError if the file is damaged, cannot be written, or
    is in use by another sandbox.
    """

    def __init__(self, path: str | os.PathLike[str], state: State) -> None:
        self._path = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
        self._state = state
        self._written = ""
        self._lock = _Lock()
        weakref.finalize(self, self._lock.release)
        try:
            self._take()
            self._load()
            self._write()
        except OSError as error:
            raise StateFileError(
                f"The state file {path} cannot be used: {error.strerror or 'the system refused'}."
            ) from None

    def save(self) -> None:
        """Write the state, if it has changed. Raises StateNotKeptError if that fails."""
        try:
            self._write()
        except OSError as error:
            log.error("The state file cannot be written: %s.", error.strerror)
            raise StateNotKeptError from None

    def close(self) -> None:
        """Let another sandbox use the file."""
        self._lock.release()

    def _write(self) -> None:
        with self._state.lock:
            text = json.dumps(_to_dict(self._state), separators=(",", ":"))
            if text != self._written:
                self._replace(text)
                self._written = text

    def _take(self) -> None:
        """Lock the file. Raises StateFileError if another sandbox has it, or if it is a device.

        A file that is not there is made first, so that only one of two sandboxes that begin at the
        same moment gets it.
        """
        handle = os.open(self._path, _READ, 0o600)
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # never replace /dev/null
            os.close(handle)
            raise StateFileError(
                f"The state file {self._path} is not an ordinary file. Give another name, or leave "
                "--state out to keep nothing."
            )
        self._lock.take(handle)
        if not os.path.samestat(os.fstat(handle), os.stat(self._path)):
            raise StateFileError(IN_USE)  # the other one has just replaced it

    def _load(self) -> None:
        text = self._path.read_bytes()
        if not text:
            return
        try:
            kept = json.loads(text.decode("utf-8"))
            # No page could show half of a surrogate pair, which JSON can spell
            json.dumps(kept, ensure_ascii=False).encode("utf-8")
            check_state(kept)
        except WrongStateError as error:
            raise self._damaged(f": {error}") from None
        except (ValueError, RecursionError):  # no text, no JSON, or nested without end
            raise self._damaged("") from None
        _restore(self._state, kept)

    def _damaged(self, problem: str) -> StateFileError:
        return StateFileError(
            f"The state file {self._path} is damaged, or was not written by a sandbox{problem}. "
            "Give another name, or move it away to begin anew."
        )

    def _replace(self, text: str) -> None:
        """Put a new file in the place of the old one; a reader sees either of them whole."""
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with open(handle, "w", encoding="utf-8", closefd=False) as file:
                file.write(text)
            _lock(handle)  # before another sandbox can find it at its place
            os.replace(name, self._path)
        except BaseException:
            os.close(handle)
            os.unlink(name)
            raise
        self._lock.take(handle)


class _Lock:
    """Keeps other sandboxes from a file as long as it is open."""

    def __init__(self) -> None:
        self._handle = -1

    def take(self, handle: int) -> None:
        """Lock an open file, and release the one before. Raises StateFileError if it is taken."""
        self.release()
        self._handle = handle
        _lock(handle)

    def release(self) -> None:
        """Close the file, if one is open."""
        handle = self._handle
        self._handle = -1
        if handle >= 0:
            os.close(handle)


def _lock(handle: int) -> None:
    """Lock an open file. Raises StateFileError if it is taken."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ModuleNotFoundError:  # Windows has no such locks
        return
    except BlockingIOError:
        raise StateFileError(IN_USE) from None


def _to_dict(state: State) -> dict[str, Any]:
    """Return what is kept. A grant is shared by its code and tokens, which hold its number."""
    grants = {id(grant): grant for grant in state.grants()}
    numbers = {key: number for number, key in enumerate(grants)}

    def with_grant(record: Code | Access) -> dict[str, Any]:
        return {**asdict(record), "grant": numbers[id(record.grant)]}

    return {
        "format": FORMAT,
        "users": [asdict(user) for user in state.users.values()],
        "tracks": [{**asdict(track), "owner": track.owner.username} for track in state.uploads()],
        "sessions": [asdict(session) for session in state.sessions.values()],
        "grants": [asdict(grant) for grant in grants.values()],
        "request_tokens": {name: asdict(each) for name, each in state.request_tokens.items()},
        "codes": {code: with_grant(record) for code, record in state.codes.items()},
        "access": {token: with_grant(record) for token, record in state.access.items()},
        "refresh": {token: numbers[id(grant)] for token, grant in state.refresh.items()},
    }


def _restore(state: State, kept: Mapping[str, Any]) -> None:
    """Fill a new state with what was kept, and has been checked."""
    grants = [Grant(**fields) for fields in kept["grants"]]

    def granted(records: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
        return ((key, {**each, "grant": grants[each["grant"]]}) for key, each in records.items())

    users = [User(**fields) for fields in kept["users"]]
    state.users.update({user.username: user for user in users})
    for fields in kept["tracks"]:
        track = Track(**{**fields, "owner": state.users[fields["owner"]]})
        state.tracks[track.number] = track
    sessions = [Session(**fields) for fields in kept["sessions"]]
    state.sessions.update({session.id: session for session in sessions})
    tokens = kept["request_tokens"].items()
    state.request_tokens.update({name: RequestToken(**fields) for name, fields in tokens})
    state.codes.update({code: Code(**fields) for code, fields in granted(kept["codes"])})
    state.access.update({token: Access(**fields) for token, fields in granted(kept["access"])})
    state.refresh.update({token: grants[number] for token, number in kept["refresh"].items()})
    state.number_tracks()
