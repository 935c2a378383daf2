"""The jobs of examples/workers, run by RQ and by Celery in processes of their own."""

import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace

import pytest
import requests
from support import databases
from support.commands import environment
from support.flows import CLIENT, dance, flow_for
from support.paths import CHECKOUT

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.stores.sql import SQLStore

pytestmark = [pytest.mark.stores, pytest.mark.slow]

PROCESSES = 4
JOBS = 12  # for each token
PATIENCE = 120  # seconds for what takes a few on an idle machine
TRACKS = 5  # of joe, in the sandbox
# Whoever imports this before the processes fork has connections open that they must not share.
USED_BEFORE = """
import jobs
for connection in jobs.connections.all():
    with jobs.connections.session(connection.id, user=connection.user) as session:
        session.me()
"""


def wait_until(is_true, log):
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@contextmanager
def started(words, folder, log, settings):
    """Run a command that writes into a file, until the block ends."""
    with (
        log.open("a") as output,
        subprocess.Popen(
            words, cwd=folder, env=environment(**settings), stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


class OnRQ:
    """Four workers, each of which forks for each job."""

    def __init__(self, redis_url):
        from redis import Redis
        from rq import Queue

        self._redis = Redis.from_url(redis_url)
        self._queue = Queue(connection=self._redis)

    @contextmanager
    def running(self, folder, log, settings, before):
        from rq import Worker

        run = "import runpy; runpy.run_path('rq_jobs.py', run_name='__main__')"
        words = [sys.executable, "-c", f"import sys; sys.path[0] = ''; {before}{run}"]
        with ExitStack() as stack:
            for _ in range(PROCESSES):
                stack.enter_context(started(words, folder, log, settings))
            wait_until(lambda: Worker.count(connection=self._redis) == PROCESSES, log)
            yield

    def enqueue(self, id, user):
        return self._queue.enqueue("rq_jobs.track_titles", id, user)

    def result(self, job, log):
        wait_until(lambda: job.get_status() in ("finished", "failed"), log)
        assert job.get_status() == "finished", log.read_text()
        return job.return_value()

    def close(self):
        self._redis.close()


class OnCelery:
    """One worker, which forks four processes when it starts."""

    def __init__(self, redis_url):
        from celery import Celery

        self._celery = Celery(broker=redis_url, backend=redis_url, set_as_current=False)

    @contextmanager
    def running(self, folder, log, settings, before):
        options = ["--concurrency", str(PROCESSES), "--loglevel", "INFO"]
        celery = [sys.executable, "-m", "celery", "--app", "celery_jobs", "worker", *options]
        if before:
            celery += ["--include", "used_before"]
        with started(celery, folder, log, settings):
            wait_until(lambda: " ready." in log.read_text(), log)
            yield

    def enqueue(self, id, user):
        return self._celery.send_task("celery_jobs.track_titles", [id, user])

    def result(self, job, log):
        wait_until(job.ready, log)
        return job.get(timeout=1)

    def close(self):
        self._celery.close()


@pytest.fixture
def provider(sandbox_process):
    yield sandbox_process
    misbehave(sandbox_process)


def misbehave(provider, *names):
    answer = requests.post(
        f"{provider.url}/sandbox/misbehave", data={"name": names or [""]}, timeout=10
    )
    assert answer.status_code == 204, answer.text


@pytest.fixture
def settings(provider):
    for server in ("postgresql", "redis"):
        databases.running(server).clear()
    return {
        "SCCONNECT_CLIENT_ID": CLIENT[0],
        "SCCONNECT_CLIENT_SECRET": CLIENT[1],
        "SCCONNECT_AUTHORIZE_URL": f"{provider.url}/authorize",
        "SCCONNECT_TOKEN_URL": f"{provider.url}/oauth/token",
        "SCCONNECT_API_URL": provider.url,
        "SCCONNECT_STORE": databases.running("postgresql").url,
        "REDIS_URL": databases.running("redis").url,
    }


@pytest.fixture
def store(settings):
    with closing(SQLStore(settings["SCCONNECT_STORE"])) as store:
        yield store


@pytest.fixture
def site(store, provider):
    """The web process, which stores connections and enqueues jobs."""
    return Connections(flow_for("oauth2", provider.url), store)


@pytest.fixture(params=[OnRQ, OnCelery])
def queue(request, settings):
    with closing(request.param(settings["REDIS_URL"])) as queue:
        yield queue


@pytest.fixture
def folder(tmp_path):
    folder = shutil.copytree(CHECKOUT / "examples" / "workers", tmp_path / "workers")
    (folder / "used_before.py").write_text(USED_BEFORE)
    return folder


def connected(site, provider, user):
    return site.connect(dance(flow_for("oauth2", provider.url)), user=user)


def redeemed(provider):
    return provider.counts().get("redeemed", 0)


@pytest.mark.threat(38, 39)
def test_38_four_processes_refresh_each_of_two_tokens_once(
    queue, site, store, provider, folder, settings, tmp_path
):
    """Their parents have called the API and the database before they forked."""
    users = ("joe", "ann")
    ids = {user: connected(site, provider, user).id for user in users}
    log = tmp_path / "log"
    with queue.running(folder, log, settings, "import used_before; "):
        expired = []
        for id in ids.values():
            stored = store.load(id)
            expired.append(store.save(replace(stored, token=replace(stored.token, expires_at=1))))
        before = redeemed(provider)
        waiting = [queue.enqueue(ids[user], user) for _ in range(JOBS) for user in users]
        titles = [queue.result(job, log) for job in waiting]
    assert [len(each) for each in titles] == [TRACKS] * JOBS * len(users)
    assert redeemed(provider) - before == len(users)
    text = log.read_text()
    assert "Traceback" not in text
    tokens = [each.token for each in [*expired, *map(store.load, ids.values())]]
    assert [
        each for token in tokens for each in (token.token, token.refresh_token) if each in text
    ] == []
    if isinstance(queue, OnCelery):
        names = set(re.findall(r"ForkPoolWorker-\d+\] Task", text))
        assert len(names) == PROCESSES


def test_a_job_is_tried_again_when_the_api_says_and_stops_for_a_lost_connection(
    queue, site, store, provider, folder, settings, tmp_path
):
    joe = connected(site, provider, "joe")
    ann = connected(site, provider, "ann")
    store.save(replace(ann, ended="connection_revoked"))
    log = tmp_path / "log"
    with queue.running(folder, log, settings, ""):
        misbehave(provider, "429=3")
        calls = sum(provider.counts().values())
        job = queue.enqueue(joe.id, "joe")
        wait_until(lambda: sum(provider.counts().values()) > calls, log)
        refused = time.monotonic()
        misbehave(provider)
        stopped = [(ann.id, "ann"), (joe.id, "ann"), ("no such connection", "joe")]
        for id, user in stopped:
            assert queue.result(queue.enqueue(id, user), log) is None
        assert len(queue.result(job, log)) == TRACKS
        assert time.monotonic() - refused > 2


def test_no_job_waits_as_long_as_celery_takes_it_for_lost(folder, settings):
    """Celery's Redis gives a job to a second worker after an hour."""
    waits = "import jobs, sys; from scconnect_wsgi.errors import *; print(*map(jobs.pause_after, ["
    waits += "RateLimited('', retry_after=86_400), RateLimited('', retry_after=60), "
    waits += "ProviderUnavailable(''), StoreUnavailable('')]))"
    done = subprocess.run(
        [sys.executable, "-c", waits],
        cwd=folder,
        env=environment(**settings),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1800 60 10 10\n", done.stderr
