"""What SQLStore says of a URL, of a driver and of an extra that cannot work."""

import os
import subprocess
import sys

import pytest
from support import databases
from support.stores import connection

from scconnect_wsgi.errors import ConfigurationError, StoreUnavailable
from scconnect_wsgi.stores.sql import SQLStore

ACCOUNT = "scott:tiger@127.0.0.1:9/site"
REFUSED = {
    "nothing": ("", "must be a database URL"),
    "no URL": ("connections.sqlite3", "must be a database URL"),
    "a port that is a word": ("postgresql://scott:tiger@db:port/site", "must be a database URL"),
    "postgres": (f"postgres://{ACCOUNT}", r"postgresql\+psycopg:// instead of postgres://"),
    "postgres with a driver": (f"postgres+psycopg://{ACCOUNT}", "instead of postgres://"),
    "psycopg for asyncio": (f"postgresql+psycopg_async://{ACCOUNT}", "asyncio.*postgresql.psycopg"),
    "asyncpg": (f"postgresql+asyncpg://{ACCOUNT}", "asyncio.*postgresql.psycopg://"),
    "aiosqlite": ("sqlite+aiosqlite:///x.db", "asyncio.*sqlite://"),
    "aiomysql": (f"mysql+aiomysql://{ACCOUNT}", "asyncio.*mysql.pymysql://"),
    "asyncmy": (f"mariadb+asyncmy://{ACCOUNT}", "asyncio.*mariadb.pymysql://"),
    "an unknown driver": (f"postgresql+nosuch://{ACCOUNT}", "nosuch, which is not installed"),
    "an unknown database": (f"oracle://{ACCOUNT}", "sqlite, postgresql"),
    "mysqlclient": (f"mysql://{ACCOUNT}", r"pip install 'mysqlclient', or begin it with mysql.pym"),
    "mysqlclient for MariaDB": (f"mariadb://{ACCOUNT}", "'mysqlclient', or begin it with mariadb"),
    "two slashes": ("sqlite://connections.sqlite3", "sqlite:///connections.sqlite3"),
    "a timeout that is a word": ("sqlite:///x.db?timeout=tiger", "a parameter has a wrong value"),
}


@pytest.mark.parametrize(("url", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_url_that_cannot_work_is_refused_in_words_without_its_password(url, reason):
    with pytest.raises(ConfigurationError, match=reason) as caught:
        SQLStore(url)
    assert caught.value.option == "url"
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "tiger" not in str(caught.value)


PARAMETERS = {
    "sqlite": ["timeout=5"],
    "postgresql": [
        "nonsense=tiger",
        "connect_timeout=tiger",
        "cursor_factory=tiger",
        "row_factory=tiger",
        "options=-tiger",
        "options=-ctiger%3D1",
    ],
    "mariadb": [
        "nonsense=tiger",
        "autocommit=tiger&nonsense=1",
        "cursorclass=tiger",
        "charset=tiger",
        "ssl_ca=/tiger",
    ],
}


@pytest.mark.stores
@pytest.mark.parametrize(
    ("name", "query"),
    [(name, query) for name in ("postgresql", "mariadb") for query in PARAMETERS[name]],
)
def test_a_parameter_that_the_driver_does_not_take_is_one_kind_of_error(name, query):
    store = SQLStore(f"{databases.running(name).url}?{query}")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="parameter") as caught:
            store.save(connection())
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert "tiger" not in str(caught.value)


@pytest.mark.stores
@pytest.mark.parametrize("query", ["nonsense=tiger", "prepare_threshold=tiger"])
def test_another_driver_says_the_same(query):
    url = databases.running("postgresql").url.replace("psycopg", "pg8000")
    with pytest.raises((ConfigurationError, StoreUnavailable), match=r"param|prepare") as caught:
        SQLStore(f"{url}?{query}").save(connection())
    assert "tiger" not in str(caught.value)


@pytest.mark.stores
def test_a_number_that_is_a_word_is_refused_at_once():
    with pytest.raises(ConfigurationError, match="a parameter has a wrong value") as caught:
        SQLStore(f"mysql+pymysql://{ACCOUNT}?connect_timeout=tiger")
    assert "tiger" not in str(caught.value)


def python(code, hidden=(), **variables):
    """Run Python code, for which some packages are not installed, and return what it prints."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(hidden)!r}))\n" if hidden else ""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", hide + code],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


NOT_INSTALLED = """
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {0!r}:
            raise ModuleNotFoundError("No module named " + repr({0!r}), name={0!r})

import sys
sys.meta_path.insert(0, Missing())
"""


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [("sqlalchemy", "stores.sql", "sql"), ("redis", "stores.redis", "redis")],
)
@pytest.mark.slow
def test_an_import_without_the_extra_names_the_extra(package, module, extra):
    said = python(f"{NOT_INSTALLED.format(package)}import scconnect_wsgi.{module}")
    last = said.strip().splitlines()[-1]
    assert last == (
        f"ModuleNotFoundError: The package {package} is not installed: "
        f"pip install 'scconnect-wsgi[{extra}]'"
    )
    assert "During handling" not in said


@pytest.mark.parametrize(
    ("package", "module"), [("sqlalchemy", "stores.sql"), ("redis", "stores.redis")]
)
@pytest.mark.slow
def test_an_import_in_which_a_part_is_missing_keeps_its_own_words(package, module):
    broken = NOT_INSTALLED.format(package).replace(f"name={package!r}", f"name='{package}.part'")
    said = python(f"{broken}import scconnect_wsgi.{module}")
    assert "pip install" not in said
    assert f"No module named '{package}'" in said


@pytest.mark.slow
def test_encryption_without_the_extra_names_the_extra():
    code = """
from scconnect_wsgi.encryption import Encryption
try:
    Encryption("a key that is as long as keys have to be")
except ValueError as error:
    print(error)
"""
    said = python(NOT_INSTALLED.format("cryptography") + code)
    assert "pip install 'scconnect-wsgi[encryption]'" in said


IN_A_SECOND_INTERPRETER = """
import cryptography.hazmat.primitives.ciphers.aead
import sys
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
code = '''
import sys
sys.path[:] = PATH
from scconnect_wsgi.encryption import Encryption
try:
    Encryption("a key that is as long as keys have to be")
except ValueError as error:
    print(error, flush=True)
'''.replace("PATH", repr(sys.path))
try:
    made = interpreters.create(isolated=False)
except TypeError:
    made = interpreters.create("legacy")
interpreters.run_string(made, code)
"""


@pytest.mark.slow
def test_cryptography_in_a_second_interpreter_keeps_its_own_words():
    """As under mod_wsgi, which gives each application an interpreter of its own."""
    said = python(IN_A_SECOND_INTERPRETER)
    assert "subinterpreters" in said, said
    assert "WSGIApplicationGroup" in said
    assert "pip install" not in said


@pytest.mark.stores
def test_psycopg_without_its_library_keeps_its_own_words():
    code = """
from scconnect_wsgi.stores.sql import SQLStore
try:
    SQLStore("postgresql+psycopg://scott:tiger@127.0.0.1/site")
except ValueError as error:
    print(error)
"""
    said = python(code, PSYCOPG_IMPL="c")
    assert "psycopg, which cannot be loaded: couldn't import requested psycopg 'c'" in said
    assert "not installed" not in said
    assert "tiger" not in said
    said = python(NOT_INSTALLED.format("psycopg") + code)
    assert "psycopg, which is not installed: pip install 'psycopg[binary]'" in said
