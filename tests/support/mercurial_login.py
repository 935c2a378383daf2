"""Mercurial's own site as docs/login.md has it, for login/test_remote_user.py, in a process.

The arguments are the sandbox's address, a folder, and the user who may read. It prints its address,
and runs until its standard input ends.
"""

import os
import sys
from typing import Any

from scconnect_wsgi.connections import Connections
from scconnect_wsgi.sandbox import serve
from scconnect_wsgi.stores import MemoryStore
from support.documentation import snippet
from support.flows import flow_for
from support.site import KEY


def main(provider, folder, allowed):
    from mercurial import initialization

    initialization.init()
    from mercurial import hg, ui

    path = os.path.join(folder, "night-bus")
    hg.repository(ui.ui.load(), os.fsencode(path), create=True)
    settings = snippet("login.md", "ini", "allow_read")
    with open(os.path.join(path, ".hg", "hgrc"), "w") as file:
        file.write(settings.replace("soundcloud:users:743372812", allowed))
    code = snippet("login.md", "python", "hgweb").replace("/srv/hg/night-bus", path)
    names: dict[str, Any] = {
        "connections": Connections(flow_for("oauth2", provider), MemoryStore()),
        "SECRET_KEY": KEY,
        "BASE_URL": None,
    }
    exec(compile(code, "docs/login.md", "exec"), names)
    with serve(names["application"]) as server:
        print(server.url.replace("127.0.0.1", "localhost"), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
