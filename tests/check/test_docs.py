"""docs/check.md has every finding, and its log format keeps the query out."""

import ast
import pathlib
import re

import pytest
from support.nginx import Front, pass_on
from support.paths import CHECKOUT
from support.site import KEY, page_of_the_site

import scconnect_wsgi.check
from scconnect_wsgi import OAuth2, SCConnect
from scconnect_wsgi.check._report import Report
from scconnect_wsgi.check._site import check_sites
from scconnect_wsgi.middleware import describe
from scconnect_wsgi.sandbox import serve

PAGE = (CHECKOUT / "docs" / "check.md").read_text("utf-8")
SOURCES = pathlib.Path(scconnect_wsgi.check.__file__).parent.glob("*.py")
_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
# Words of HTTP, of the shell and of cookies
OTHER_WORDS = {
    "allow-scripts",
    "ca-bundle",
    "cross-site",
    "default-src",
    "filter-app",
    "filter-with",
    "max-age",
    "no-store",
    "same-origin",
    "scconnect-check",
    "script-src",
    "script-src-elem",
    "site-packages",
}


def texts():
    """Return every text in the room's code."""
    trees = [ast.parse(source.read_text("utf-8")) for source in SOURCES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant)}


def test_the_page_has_every_code_and_no_other():
    first_cells = re.findall(r"^\| (`[a-z`, -]+`) \| [A-Z]", PAGE, re.MULTILINE)
    listed = {code for cell in first_cells for code in re.findall(r"`([a-z][a-z-]+)`", cell)}
    listed |= {"too-late", "check-ended", "check-failed"}
    known = texts()
    assert {code for code in listed if code not in known} == set()
    codes = {text for text in known if isinstance(text, str) and _CODE.fullmatch(text)}
    dashed = {code for code in codes if "-" in code}
    assert dashed - OTHER_WORDS - listed == set()


@pytest.mark.servers
def test_the_log_format_of_the_page_keeps_the_query_out(tmp_path):
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    log_format = block.partition("access_log")[0]
    front = Front(tmp_path)
    flow = OAuth2("the-client-id", "the-client-secret")
    site = SCConnect(page_of_the_site, flow, secret_key=KEY, store_token=print, base_url=front.url)
    report = Report()
    with serve(site) as server:
        options = {"log_format": "without_query", "before": log_format}
        with front.running(pass_on(server.url), **options):
            check_sites([describe(site)], front.url, front.ca_bundle, report)
    assert report.ok, report
    log = (tmp_path / "access.log").read_text()
    assert '"GET /oauth/access_token HTTP/1.1" 303' in log
    assert "state=" not in log
