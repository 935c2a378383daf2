#!/bin/sh
# sh granian.sh
#
# Its access log shows the path without the query, as it must: the callback's query holds the code that is good for a
# token. --blocking-threads are those that wait for the provider. A worker that does not stop when told, as happens now
# and then, is ended after --workers-kill-timeout seconds.
exec granian --interface wsgi --host 127.0.0.1 --port 8000 --workers 2 --blocking-threads 16 --access-log \
    --workers-kill-timeout 8 "$@" mysite:application
