"""The file of an SQLite database, which holds tokens, is its owner's alone, however it is named."""

import logging
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from support.processes import in_processes
from support.stores import connection

from scconnect_wsgi.errors import StoreUnavailable
from scconnect_wsgi.stores.sql import SQLStore

URLS = {
    "a path": "sqlite:///{}/x.db",
    "a URI": "sqlite:///file:{}/x.db?uri=true",
    "a URI with a host": "sqlite:///file://localhost{}/x.db?uri=true",
    "a URI with an empty host": "sqlite:///file://{}/x.db?uri=1",
    "a URI with an option": "sqlite:///file:{}/x.db?mode=rwc&uri=yes&cache=private",
    "a URI with an encoded name": "sqlite:///file:{}/x%2520y.db?uri=true",
    "a path that looks like a URI": "sqlite:///{}/file:x.db",
    "the driver's own name": "sqlite+pysqlite:///{}/x.db",
}


def modes(folder):
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


@pytest.fixture(autouse=True)
def _open_umask():
    """With a careful umask every file would be private."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_new_file_is_its_owners_alone(tmp_path, url):
    with closing(SQLStore(url.format(tmp_path))) as store:
        store.save(connection())
        assert modes(tmp_path) == {0o600}
        assert store.load("one").user == "user 1"
    assert modes(tmp_path) == {0o600}


def test_a_relative_uri_is_private_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(SQLStore("sqlite:///file:x.db?uri=true")) as store:
        store.save(connection())
        assert modes(tmp_path) == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o666, 0o604, 0o755])
@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_file_that_was_there_becomes_private(tmp_path, caplog, url, mode):
    with closing(SQLStore(url.format(tmp_path))) as store:
        stored = store.save(connection())
        for file in list(tmp_path.iterdir()):  # a copy, as of a process that was killed
            shutil.copy(file, tmp_path / f"{file.name}.copy")
    for copy in list(tmp_path.glob("*.copy")):
        copy.rename(copy.with_suffix(""))
    for file in tmp_path.iterdir():
        file.chmod(mode)
    assert len(list(tmp_path.iterdir())) == 3  # with -wal and -shm
    with closing(SQLStore(url.format(tmp_path))) as store:
        assert store.load("one") == stored
        assert modes(tmp_path) == {0o600}
        store.save(connection("two"))
        assert modes(tmp_path) == {0o600}
    assert "could be read by others" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), closing(SQLStore(url.format(tmp_path))) as store:
        assert store.load("one") == stored
    assert caplog.text == ""


def test_a_link_to_a_file_makes_the_file_private(tmp_path):
    target = tmp_path / "target.db"
    (tmp_path / "link.db").symlink_to(target)
    with closing(SQLStore(f"sqlite:///{tmp_path}/link.db")) as store:
        store.save(connection())
        assert modes(tmp_path) == {0o600}


def test_a_file_of_somebody_else_that_others_can_read_is_refused(tmp_path):
    if os.getuid() != 0:
        return  # only root can make one
    path = tmp_path / "x.db"
    with closing(SQLStore(f"sqlite:///{path}")) as store:
        store.save(connection())
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o777)
    path.chmod(0o666)

    def as_somebody(_):
        os.setuid(65_534)
        try:
            SQLStore(f"sqlite:///{path}").load("one")
        except StoreUnavailable as error:
            return error.message

    (message,) = in_processes(1, as_somebody)
    assert "chmod 600" in message


MEMORY = [
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    "sqlite:///file::memory:?uri=true",
    "sqlite:///file::memory:?uri=true&cache=shared",
    "sqlite:///file:{}?mode=memory&cache=shared&uri=true",
    "sqlite:///file:/{}?vfs=memdb&uri=true",
]


@pytest.mark.parametrize("url", MEMORY)
def test_a_database_in_memory_is_one_for_all_threads_and_makes_no_file(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with closing(SQLStore(url.format("kept"))) as store, ThreadPoolExecutor(8) as threads:
        list(threads.map(store.save, [connection(str(number)) for number in range(16)]))
        assert len(store.of_user("user 1")) == 16
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_a_file_that_must_exist_is_not_made(tmp_path, mode):
    url = f"sqlite:///file:{tmp_path}/x.db?mode={mode}&uri=true"
    with closing(SQLStore(url)) as store, pytest.raises(StoreUnavailable):
        store.load("one")
    assert os.listdir(tmp_path) == []
