"""nginx and Apache with mod_wsgi, each with a file of examples/deployment.

Only places and ports differ in it.

    with Nginx("mysite.conf", tls, backend=8123) as front:
        front.url, front.access_log(), front.log()

As root they run as another user, as the databases do: Apache refuses to be run by root.
"""

from __future__ import annotations

import pathlib
import shutil
import socket
from importlib import metadata

import scconnect_wsgi
from support.databases import Server
from support.example_servers import copy_of, with_replaced
from support.front_programs import MODULES
from support.paths import CHECKOUT
from support.ports import free_port

DEPLOYMENT = CHECKOUT / "examples" / "deployment"
# What the package imports. Apache's Python is Debian's, and theirs are not compiled.
NEEDED = ["certifi", "charset-normalizer", "idna", "itsdangerous", "oauthlib", "requests"]
NEEDED += ["urllib3", "webob"]
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mysite.conf;
}}
"""
APACHE = """
ServerRoot {folder}
PidFile {folder}/apache2.pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
{modules}
Listen {plain_port}
Listen {port}
WSGISocketPrefix {folder}/wsgi
Include {folder}/mysite.conf
"""
NO_BYTECODE = shutil.ignore_patterns("__pycache__")
APACHE_MODULES = ["mpm_event", "authz_core", "alias", "ssl", "wsgi"]


class FrontServer(Server):
    """A server that ends TLS: ``url`` is where it does, ``plain_url`` where it speaks plain http.

    ``authority`` signs its certificate. ``replacements`` are further changes to the file.
    """

    def __init__(self, name, authority, replacements):
        self.name = name
        self.authority = authority
        self.replacements = replacements

    def prepare(self):
        self.plain_port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.plain_url = f"http://localhost:{self.plain_port}"
        self.authority.write_certificate(pathlib.Path(self.folder))
        places = {
            "/etc/ssl/mysite/": f"{self.folder}/",
            "app.example": "localhost",
            **self.places(),
            **self.replacements,
        }
        text = (DEPLOYMENT / self.name).read_text("utf-8")
        pathlib.Path(self.folder, "mysite.conf").write_text(with_replaced(text, places), "utf-8")

    def places(self):
        """Return what else must be replaced in a file of this kind."""
        raise NotImplementedError

    def ask(self):
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()

    def access_log(self):
        return pathlib.Path(self.folder, "mysite.log").read_text("utf-8")

    def error_log(self):
        return pathlib.Path(self.folder, "error.log").read_text("utf-8")


class Nginx(FrontServer):
    """nginx in front of a server at the port ``backend``."""

    def __init__(self, name, authority, backend):
        super().__init__(f"nginx/{name}", authority, {":8000": f":{backend}"})

    def places(self):
        places = {
            "/var/log/nginx/": f"{self.folder}/",
            "listen 443": f"listen 127.0.0.1:{self.port}",
        }
        if "listen 80;" in (DEPLOYMENT / self.name).read_text("utf-8"):
            places["listen 80"] = f"listen 127.0.0.1:{self.plain_port}"
        return places

    def command(self):
        path = pathlib.Path(self.folder, "nginx.conf")
        path.write_text(NGINX.format(folder=self.folder), "utf-8")
        error_log = f"{self.folder}/error.log"
        return "nginx", "-p", self.folder, "-e", error_log, "-c", str(path)


class Apache(FrontServer):
    """Apache with mod_wsgi, which runs mysite.py with the settings given to ``run_site``."""

    def __init__(self, authority, replacements):
        super().__init__("apache/mysite.conf", authority, replacements)
        self.settings = None

    def start(self):
        """Wait for ``run_site``: the settings depend on the address, which is known by now."""

    def run_site(self, settings):
        """Start Apache, and the site in it."""
        self.settings = settings
        super().start()

    def prepare(self):
        super().prepare()
        folder = pathlib.Path(self.folder)
        site = copy_of(folder)
        shutil.copy(DEPLOYMENT / "apache" / "wsgi.py", site)
        copy_of_the_package(folder / "packages")

    def places(self):
        site = f"{self.folder}/site"
        return {
            "/var/log/apache2/": f"{self.folder}/",
            "*:443": f"127.0.0.1:{self.port}",
            "*:80": f"127.0.0.1:{self.plain_port}",
            "python-home=/srv/mysite/venv ": "",
            "python-path=/srv/mysite": f"python-path={site}:{self.folder}/packages",
            "/srv/mysite": site,
        }

    def command(self):
        modules = "\n".join(
            f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE_MODULES
        )
        path = pathlib.Path(self.folder, "apache2.conf")
        path.write_text(
            APACHE.format(
                folder=self.folder, modules=modules, port=self.port, plain_port=self.plain_port
            ),
            "utf-8",
        )
        return "apache2", "-f", str(path), "-D", "FOREGROUND"

    def _options(self):
        options = super()._options()
        kept = {name: value for name, value in options["env"].items() if "PYTHON" not in name}
        return {**options, "env": {**kept, **self.settings, "PYTHONDONTWRITEBYTECODE": "1"}}


def copy_of_the_package(folder):
    """Copy the package and what it imports, for a Python that has neither, and for any user."""
    package = pathlib.Path(scconnect_wsgi.__file__).parent
    shutil.copytree(package, folder / "scconnect_wsgi", ignore=NO_BYTECODE)
    assets = package.parent / "assets"
    if not (package / "assets").is_dir():
        shutil.copytree(assets, folder / "assets", ignore=NO_BYTECODE)
    for name in NEEDED:
        for file in metadata.files(name):
            source = pathlib.Path(file.locate())
            if ".." not in file.parts and source.suffix != ".pyc":
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
