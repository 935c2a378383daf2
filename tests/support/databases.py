"""Private servers for the tests.

Their data is in a new folder, and their port is a free one of this machine. They
end with the tests.

    server = databases.running("postgresql")  # started once a session; conftest.py ends it
    server.url, server.kill(), server.start()

As root they run as another user, since PostgreSQL refuses to be run by root.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

from support.ports import free_port

PACKAGES = {
    "postgresql": "postgresql",
    "pgbouncer": "pgbouncer postgresql",
    "pgbouncer of statements": "pgbouncer postgresql",
    "mariadb": "mariadb-server-core mariadb-client-core",
    "redis": "redis-server",
}
PROGRAMS = {
    "postgresql": ("postgres", "initdb"),
    "pgbouncer": ("pgbouncer", "postgres", "initdb"),
    "pgbouncer of statements": ("pgbouncer", "postgres", "initdb"),
    "mariadb": ("mariadbd", "mariadb-install-db", "my_print_defaults"),
    "redis": ("redis-server",),
}
PATIENCE = 60  # seconds until a server answers; this machine may be busy
_ends = contextlib.ExitStack()


def find(program):
    """Return the path of a program.

    Debian keeps those of PostgreSQL, and some of root's, off the PATH.
    """
    places = [
        *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
        os.environ.get("PATH", ""),
        "/usr/sbin",
    ]
    return shutil.which(program, path=os.pathsep.join(places))


def missing():
    """Return the servers that are not installed, and Debian's package for each."""
    return {
        name: PACKAGES[name] for name, programs in PROGRAMS.items() if not all(map(find, programs))
    }


@functools.cache
def running(name):
    """Return the server of that name, started by the first call. Skip the test if it is missing."""
    return _ends.enter_context(another(name))


def another(name):
    """Run one more server of that name until the block ends. Skip the test if it is missing."""
    if name in missing():
        import pytest  # not for tools/bootstrap.sh, which asks what is missing

        pytest.skip(f"NO SERVER OF {name.upper()} FOUND: apt-get install {PACKAGES[name]}")
    return KINDS[name]()


def end():
    """End every server that was started."""
    _ends.close()
    running.cache_clear()


def _somebody():
    """Return the user that the servers run as: another one than root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Server:
    """A server: ``url`` is what a store takes; it can be killed and started any number of times."""

    goodbye = signal.SIGTERM

    def prepare(self):
        """Set ``url``, and make what the server needs before its first start."""
        raise NotImplementedError

    def command(self):
        """Return the program and its options."""
        raise NotImplementedError

    def ask(self):
        """Ask the server anything. Raise an exception if it does not answer."""
        raise NotImplementedError

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="scconnect-")
        self.data = f"{self.folder}/data"
        self._who = _somebody()
        if self._who:
            os.chown(self.folder, self._who["user"], self._who["group"])
        self.port = free_port()
        self._process = None
        self._log = open(f"{self.folder}/log", "w+b")
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.send_signal(self.goodbye)
            self._process.wait(PATIENCE)
        self._log.close()
        shutil.rmtree(self.folder)

    def run(self, program, *options):
        """Run one of the server's programs to its end."""
        done = subprocess.run([find(program), *options], **self._options())
        assert done.returncode == 0, self.log()

    def start(self):
        """Start the server, and wait until it answers."""
        program, *options = self.command()
        self._process = subprocess.Popen([find(program), *options], **self._options())
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def kill(self):
        """Kill the server and all its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def _options(self):
        environment = {**os.environ, "HOME": self.folder, "LC_ALL": "C"}
        output = {"stdout": self._log, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return {
            **output,
            "cwd": self.folder,
            "env": environment,
            "start_new_session": True,
            **self._who,
        }

    def log(self):
        with open(f"{self.folder}/log", errors="replace") as file:
            return file.read()[-4000:]

    def _answers(self):
        try:
            self.ask()
        except Exception:
            return False
        return True


class PostgreSQL(Server):
    goodbye = signal.SIGINT  # on SIGTERM it waits until every client has gone

    def prepare(self):
        self.url = f"postgresql+psycopg://site@127.0.0.1:{self.port}/postgres"
        # Without fsync it still survives being killed; only a machine without power would be too
        # much.
        self.run(
            "initdb",
            "-D",
            self.data,
            "-U",
            "site",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        )

    def command(self):
        listen = ("-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", self.folder)
        return "postgres", "-D", self.data, *listen, "-c", "fsync=off", "-c", "max_connections=200"

    def ask(self):
        import psycopg

        psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=site dbname=postgres", connect_timeout=5
        ).close()

    def clear(self):
        import psycopg

        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=site dbname=postgres", autocommit=True
        ) as db:
            tables = "scconnect_claims, scconnect_connections, scconnect_schema"
            db.execute(f"DROP TABLE IF EXISTS {tables}")


class PgBouncer(Server):
    """A pooler in front of the PostgreSQL of the tests, in transaction mode.

    Clients take turns on two connections.
    """

    mode = "transaction"
    goodbye = signal.SIGINT  # it waits for the transactions that run, and for no client

    def prepare(self):
        self._behind = running("postgresql")
        self.url = f"postgresql+psycopg://site@127.0.0.1:{self.port}/postgres"
        self._settings = f"{self.folder}/pgbouncer.ini"
        version = subprocess.run(
            [find("pgbouncer"), "--version"], capture_output=True, text=True, check=True
        ).stdout
        number = tuple(map(int, re.search(r"(\d+)\.(\d+)", version).groups()))
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": self.mode,
            "default_pool_size": 2,
            "max_client_conn": 500,
        }
        if number >= (1, 21):  # before that there is no such setting
            settings["max_prepared_statements"] = 0
        with open(self._settings, "w") as file:
            file.write(
                f"[databases]\n* = host=127.0.0.1 port={self._behind.port} user=site\n[pgbouncer]\n"
            )
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        os.chmod(self._settings, 0o644)

    def command(self):
        return "pgbouncer", self._settings

    def ask(self):
        import psycopg

        psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=site dbname=postgres", connect_timeout=5
        ).close()

    def clear(self):
        self._behind.clear()


class PgBouncerOfStatements(PgBouncer):
    """A pooler that gives each statement to any connection, and allows no transaction."""

    mode = "statement"


class MariaDB(Server):
    def prepare(self):
        self.url = f"mysql+pymysql://site@127.0.0.1:{self.port}/site"
        self._init = f"{self.folder}/init.sql"
        # "Read only" applies to plain; site may write all the same. guest may create no table.
        statements = [
            "CREATE USER IF NOT EXISTS site@'127.0.0.1'",
            "GRANT ALL ON *.* TO site@'127.0.0.1'",
            "CREATE DATABASE IF NOT EXISTS site",
            "CREATE USER IF NOT EXISTS plain@'127.0.0.1'",
            "GRANT ALL ON site.* TO plain@'127.0.0.1'",
            "CREATE USER IF NOT EXISTS guest@'127.0.0.1'",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON site.* TO guest@'127.0.0.1'",
        ]
        with open(self._init, "w") as file:
            file.writelines(f"{statement};\n" for statement in statements)
        os.chmod(self._init, 0o644)
        own = (
            "--no-defaults",
            f"--datadir={self.data}",
            "--auth-root-authentication-method=normal",
        )
        self.run("mariadb-install-db", *own, "--skip-test-db", f"--tmpdir={self.folder}")

    def command(self):
        place = (
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",
            f"--socket={self.folder}/socket",
        )
        listen = (
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--pid-file={self.folder}/pid",
        )
        small = (
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=32M",
            "--skip-name-resolve",
        )
        return "mariadbd", "--no-defaults", *place, *listen, *small, f"--init-file={self._init}"

    def connected(self):
        import pymysql

        return contextlib.closing(
            pymysql.connect(
                host="127.0.0.1", port=self.port, user="site", database="site", connect_timeout=5
            )
        )

    def ask(self):
        with self.connected():
            pass

    def clear(self):
        with self.connected() as db, db.cursor() as cursor:
            cursor.execute("DROP DATABASE site")
            # Tables must set their own character set
            cursor.execute("CREATE DATABASE site CHARACTER SET latin1")


class Redis(Server):
    def prepare(self):
        self.url = f"redis://127.0.0.1:{self.port}/0"
        os.mkdir(self.data)
        if self._who:
            os.chown(self.data, self._who["user"], self._who["group"])

    def command(self):
        listen = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.data)
        return (
            "redis-server",
            *listen,
            "--appendonly",
            "yes",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
        )

    def _client(self):
        import redis

        return contextlib.closing(redis.Redis(port=self.port, socket_timeout=5))

    def ask(self):
        with self._client() as client:
            client.ping()

    def clear(self):
        with self._client() as client:
            client.flushall()


KINDS = {
    "postgresql": PostgreSQL,
    "pgbouncer": PgBouncer,
    "pgbouncer of statements": PgBouncerOfStatements,
    "mariadb": MariaDB,
    "redis": Redis,
}
