#!/bin/sh
# sh granian.sh
#
# Its access log shows the path without the query, as it must: the callback's query holds the code that is good for a
# token. --blocking-threads are those that wait for the provider.
exec granian --interface wsgi --host 127.0.0.1 --port 8000 --workers 2 --blocking-threads 16 --access-log \
    mysite:application
