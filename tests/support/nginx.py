"""nginx in front of a site, with the mistakes that people make in its configuration."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess

import trustme

from support.databases import find
from support.ports import free_port, wait_for

STOP_WITHIN = 10  # seconds
# Everything in one folder and one process, which the test's user runs
CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=starts:1m;
    {before}
    log_format path '$remote_addr "$request_method $uri" $status';
    access_log {folder}/access.log {log_format};
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        {server}
    }}
}}
"""
PASS_ON = """
location / {{
    proxy_pass {backend};
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    {more}
}}
"""


class Front:
    """A port for nginx, with a certificate: ``url`` is its address, ``ca_bundle`` judges it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.ca_bundle = str(folder / "authority.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.ca_bundle)
        issued = authority.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(folder / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))

    @contextlib.contextmanager
    def running(self, server: str, *, log_format: str = "path", before: str = ""):
        """Run nginx until the block ends.

        ``server`` is what stands in its server block, ``before`` in front of it.
        """
        values = {"folder": self.folder, "port": self.port, "log_format": log_format}
        text = CONFIGURATION.format(server=server, before=before, **values)
        path = self.folder / "nginx.conf"
        path.write_text(text, "utf-8")
        log = self.folder / "error.log"
        log.touch()
        command = [find("nginx"), "-p", str(self.folder), "-e", str(log), "-c", str(path)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(self.port, process, log)
            yield self
        finally:
            process.terminate()
            process.wait(STOP_WITHIN)


def pass_on(backend: str, more: str = "") -> str:
    """Return the block that passes every request on to a site."""
    return PASS_ON.format(backend=backend, more=more)
