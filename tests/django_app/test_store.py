"""DjangoStore in each database, in processes of their own: Django has one set of settings each."""

import subprocess
import sys

import pytest
from support import databases
from support.commands import environment
from support.paths import TESTS

from scconnect_wsgi.testing import StoreContract

RULES = sum(name.startswith("test_") for name in dir(StoreContract))
WARNINGS = ["-W", "error", "-W", "ignore:'cgi':DeprecationWarning"]  # WebOb 1.8 imports it
SERVERS = ["postgresql", "mariadb"]


def on_sqlite(folder):
    return {"DATABASE_FOLDER": str(folder)}


def on(server):
    is_mariadb = server.url.startswith("mysql")
    return {
        "DATABASE_ENGINE": "mysql" if is_mariadb else "postgresql",
        "DATABASE_NAME": "site" if is_mariadb else "postgres",
        "DATABASE_USER": "site",
        "DATABASE_PORT": str(server.port),
    }


def command(*words, **settings):
    env = environment(DJANGO_SETTINGS_MODULE="support.django_project.settings", **settings)
    env["PYTHONPATH"] += f":{TESTS}"
    return [sys.executable, *WARNINGS, *words], {"env": env, "text": True}


def run(*words, **settings):
    words, options = command(*words, **settings)
    return subprocess.run(words, capture_output=True, timeout=240, **options)


def passes(label, settings):
    done = run("-m", "django", "test", label, **settings)
    assert done.returncode == 0, done.stderr
    return done


def keeps_the_contract(name, settings):
    done = passes(f"support.django_project.contract.{name}", settings)
    assert f"Ran {RULES} tests" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TestDjangoStore", "TestEncryptedDjangoStore"])
def test_it_keeps_the_contract_on_sqlite(tmp_path, name):
    keeps_the_contract(name, on_sqlite(tmp_path))


@pytest.mark.slow
def test_writers_wait_for_each_other_on_sqlite_as_startproject_sets_it_up(tmp_path):
    passes("support.django_project.writers", {**on_sqlite(tmp_path), "DATABASE_MODE": "DEFERRED"})


@pytest.mark.stores
@pytest.mark.parametrize("name", SERVERS)
def test_it_keeps_the_contract_on(name):
    keeps_the_contract("TestDjangoStore", on(databases.running(name)))


@pytest.mark.slow
def test_it_works_in_a_site(tmp_path):
    passes("support.django_project.views", on_sqlite(tmp_path))


@pytest.mark.slow
def test_current_user_sees_whom_django_sees(tmp_path):
    passes("support.django_project.users", on_sqlite(tmp_path))


@pytest.mark.slow
def test_its_migrations_make_the_tables_of_its_models(tmp_path):
    done = run("-m", "django", "makemigrations", "--check", "--dry-run", **on_sqlite(tmp_path))
    assert (done.returncode, done.stdout) == (0, "No changes detected\n")


@pytest.mark.stores
@pytest.mark.parametrize("name", SERVERS)
def test_after_a_restart_of_the_database_one_call_fails_and_the_next_one_works(name):
    with databases.another(name) as server:
        words, options = command("-m", "support.django_project.calls", **on(server))
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options
        ) as site:

            def say(line):
                site.stdin.write(f"{line}\n")
                site.stdin.flush()
                return site.stdout.readline().partition(":")[0].strip()

            assert say("") == "done"
            server.kill()
            server.start()
            assert [say("") for _ in range(3)] == ["StoreUnavailable", "done", "done"]
            assert say("in a transaction") == "RuntimeError"
            assert say("") == "done"
            site.communicate("end\n", timeout=10)


def survives_damage(settings):
    done = run("-m", "support.django_project.damage", **settings)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.slow
def test_a_damaged_row_is_left_out_of_lists(tmp_path):
    survives_damage(on_sqlite(tmp_path))


@pytest.mark.stores
@pytest.mark.threat(54)
def test_after_a_switch_over_one_call_fails_and_the_next_one_works():
    with databases.another("postgresql") as server:
        survives_damage(on(server))
