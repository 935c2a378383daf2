"""Jobs in Celery (pip install 'celery[redis]'), with four processes:

    celery --app celery_jobs worker --concurrency 4

A web process enqueues one with ``track_titles.delay(connection.id, connection.user)``.
"""

import os

import jobs
from celery import Celery

from scconnect_wsgi.errors import NotConnected, ProviderUnavailable, StoreUnavailable

app = Celery("site", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True


@app.task(bind=True, max_retries=jobs.ATTEMPTS - 1)
def track_titles(self, oauth_token_id, user):
    try:
        return jobs.track_titles(oauth_token_id, user)
    except NotConnected:  # the user must connect again, and trying again would not help
        return None
    except (ProviderUnavailable, StoreUnavailable) as error:
        raise self.retry(exc=error, countdown=jobs.pause_after(error)) from error
