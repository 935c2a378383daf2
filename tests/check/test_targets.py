"""What `scconnect check` is given: an ini file, the environment, or an application in a module."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from support.commands import environment, run

from scconnect_wsgi.check import parse_target
from scconnect_wsgi.check._output import as_json, as_text
from scconnect_wsgi.check._report import Report
from scconnect_wsgi.check._worker import run as look
from scconnect_wsgi.cli import main
from scconnect_wsgi.documentation import entry
from scconnect_wsgi.documentation import page as page_of_docs

SECRET = "the-client-secret-of-this-test"
KEY = "CAMOR1ri-a_random_key_0123456789_of_43_chars"
CALLBACK = "https://app.example/shop/oauth/access_token"
OPTIONS = {
    "client_id": "the-client-id",
    "client_secret": SECRET,
    "secret_key": KEY,
    "base_url": "https://app.example/shop",
    "store_token": "HAND_OVER",
}
ENVIRONMENT = {f"SCCONNECT_{name.upper()}": text for name, text in OPTIONS.items()}
WIRED = f"""
from scconnect_wsgi import OAuth2, SCConnect

def page(environ, start_response):
    start_response("200 OK", [])
    return [b""]

def wrapped(app, base_url="https://app.example/shop", **options):
    flow = OAuth2("the-client-id", {SECRET!r})
    return SCConnect(
        app, flow, secret_key={KEY!r}, store_token=print, base_url=base_url, **options
    )
"""

FINISHED = "\napp = wrapped(page)\n"


def check(folder, *words, **settings):
    """Run the command, and return its exit status and its output; no secret may be in it."""
    done = run("check", *words, folder=folder, **settings)
    said = done.stdout + done.stderr
    assert SECRET not in said
    assert KEY not in said
    assert "Traceback" not in said
    return done.returncode, said


@pytest.fixture
def looked(tmp_path, monkeypatch):
    """A function that looks at a target in this process, and returns the report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)

    def looked(target):
        report = Report()
        request = {"online": False, "url": "", "ca_bundle": ""}
        look({**request, "target": vars(parse_target(target))}, report)
        assert SECRET not in str(report)
        assert KEY not in str(report)
        return report

    yield looked
    sys.modules.pop("mysite", None)


def codes(report):
    return [finding.code for finding in report.findings]


def write(folder, name, text):
    (folder / name).write_text(textwrap.dedent(text), "utf-8")


PLACEHOLDERS = [
    ("client_id", "YOUR-CLIENT-ID"),
    ("client_id", "your_soundcloud_client_id"),
    ("client_id", "<client id>"),
    ("client_id", "..."),
    ("client_id", "xxxxxxxx"),
    ("client_secret", "your-client-secret"),
    ("client_secret", "CLIENT_SECRET"),
    ("client_secret", "change-me"),
    ("client_id", "your_client_id_1"),
    ("client_id", "YourClientId"),
    ("client_id", "***"),
    ("client_secret", "xxx-xxx"),
]


def write_ini(folder, name="site.ini", section="filter:connect", **options):
    lines = {"use": "egg:scconnect-wsgi", **OPTIONS, **options}
    text = "".join(f"{key} = {value}\n" for key, value in lines.items() if value)
    write(folder, name, f"[{section}]\n{text}\n[app:site]\nuse = egg:somebody\n")


# Healthy ones


WIRINGS = {
    "an attribute": "class App:\n    pass\napp = App()\napp.wsgi_app = wrapped(page)",
    "a middleware around it": "class Fix:\n    def __init__(self, app):\n        self.app = app\n"
    "    def __call__(self, environ, start_response):\n"
    "        return self.app(environ, start_response)\napp = Fix(Fix(wrapped(page)))",
    "slots": "class Fix:\n    __slots__ = ('app',)\n    def __call__(self, e, s):\n"
    "        return self.app(e, s)\napp = Fix()\napp.app = wrapped(page)",
    "a closure": "def around(inner):\n    def app(environ, start_response):\n"
    "        return inner(environ, start_response)\n    return app\napp = around(wrapped(page))",
    "a global": "inner = wrapped(page)\ndef app(environ, start_response):\n"
    "    return inner(environ, start_response)",
    "a global that a method calls": "inner = wrapped(page)\nclass App:\n"
    "    def __call__(self, environ, start_response):\n"
    "        return inner(environ, start_response)\napp = App()",
    "a bound method": "class App:\n    def __init__(self):\n        self.inner = wrapped(page)\n"
    "    def serve(self, e, s):\n        return self.inner(e, s)\napp = App().serve",
    "a partial": "import functools\ndef call(inner, e, s):\n    return inner(e, s)\n"
    "app = functools.partial(call, wrapped(page))",
    "a dictionary of mounts": "class Mounts:\n    def __init__(self):\n"
    "        self.mounts = {'/shop': wrapped(page)}\napp = Mounts()",
    "beside an object that can say only in a request what it is": "class Lazy:\n    @property\n"
    "    def __class__(self):\n        raise RuntimeError('no request')\n"
    "class App:\n    pass\napp = App()\napp.user = Lazy()\napp.wsgi_app = wrapped(page)",
    "beside a proxy of what is gone": "import weakref\nclass App:\n    pass\napp = App()\n"
    "app.gone = weakref.proxy(App())\napp.wsgi_app = wrapped(page)",
    "a server for scripts only": "app = wrapped(page)\nif __name__ == '__main__':\n    serve()",
}


@pytest.mark.parametrize("name", WIRINGS)
def test_an_application_is_found_however_it_is_wrapped(tmp_path, looked, name):
    write(tmp_path, "mysite.py", f"{WIRED}\n{WIRINGS[name]}\n")
    report = looked("mysite:app")
    assert (codes(report), report.callback_urls) == ([], [CALLBACK])


def test_an_application_may_be_made_by_a_function(tmp_path, looked):
    write(tmp_path, "mysite.py", f"{WIRED}\ndef make_app():\n    return wrapped(page)\n")
    assert looked("mysite:make_app()").callback_urls == [CALLBACK]


def test_every_site_of_an_application_is_looked_at(tmp_path, looked):
    write(
        tmp_path,
        "mysite.py",
        f"{WIRED}\ninner = wrapped(page, 'https://app.example/inner')\n"
        "app = wrapped(inner, access_token_path='/a')\n",
    )
    report = looked("mysite:app")
    inner = "https://app.example/inner/oauth/access_token"
    assert report.callback_urls == ["https://app.example/shop/a", inner]


def test_of_a_deployment_behind_another_the_registered_callback_is_told(tmp_path, looked):
    options = f'callback_url="https://prod.example/oauth/access_token", relay_key={KEY[::-1]!r}'
    write(tmp_path, "mysite.py", f"{WIRED}\napp = wrapped(page, {options})\n")
    report = looked("mysite:app")
    assert report.ok
    assert report.callback_urls == ["https://prod.example/oauth/access_token"]


def test_a_base_url_that_is_called_is_no_finding(tmp_path, looked):
    write(
        tmp_path, "mysite.py", f"{WIRED}\napp = wrapped(page, lambda request: request.host_url)\n"
    )
    report = looked("mysite:app")
    assert report.ok
    assert "base_url is a callable" in report.notes[1]


@pytest.mark.parametrize("name", ["site.ini", "site.ini#connect"])
def test_a_section_of_an_ini_file_is_healthy(tmp_path, looked, name):
    write_ini(tmp_path)
    report = looked(name)
    assert (codes(report), report.callback_urls) == ([], [CALLBACK])


def test_a_section_may_use_another_one_and_the_folder_of_the_file(tmp_path, looked):
    write_ini(tmp_path, client_secret=None, client_secret_file="%(here)s/client_secret")
    (tmp_path / "client_secret").write_text(SECRET)
    with (tmp_path / "site.ini").open("a") as file:
        file.write("[filter:production]\nuse = connect\nbase_url = https://other.example\n")
    other = "https://other.example/oauth/access_token"
    assert looked("site.ini#production").callback_urls == [other]
    assert codes(looked("site.ini")) == ["ini-section"]


def test_an_application_of_an_ini_file_may_call_it_in_its_code(tmp_path, looked):
    factory = "def factory(global_conf, **settings):\n    return wrapped(page, **settings)\n"
    write(tmp_path, "mysite.py", f"{WIRED}\n{factory}")
    section = "[app:main]\npaste.app_factory = mysite:factory\n"
    write(tmp_path, "site.ini", section)
    assert looked("site.ini").callback_urls == [CALLBACK]
    write(tmp_path, "site.ini", f"{section}base_url = http://app.example\n")
    assert codes(looked("site.ini")) == ["configuration"]
    write(tmp_path, "site.ini", f"{section}nonsense = 1\n")
    assert codes(looked("site.ini")) == ["ini-unreadable"]


def test_a_filter_of_an_ini_file_may_be_its_application(tmp_path, looked):
    write(tmp_path, "mysite.py", f"{WIRED}\ndef factory(global_conf):\n    return page\n")
    write_ini(tmp_path, section="filter-app:main", next="inner")
    with (tmp_path / "site.ini").open("a") as file:
        file.write("[app:inner]\npaste.app_factory = mysite:factory\n")
    report = looked("site.ini")
    assert (codes(report), report.callback_urls) == ([], [CALLBACK])


def test_an_application_of_an_ini_file_without_the_button_is_found(tmp_path, looked):
    write(tmp_path, "mysite.py", f"{WIRED}\ndef factory(global_conf):\n    return page\n")
    write(tmp_path, "site.ini", "[app:main]\npaste.app_factory = mysite:factory\n")
    assert codes(looked("site.ini")) == ["ini-section"]


@pytest.mark.slow
def test_the_environment_is_checked_without_a_target(tmp_path):
    status, said = check(tmp_path, **ENVIRONMENT)
    assert (status, said.count(CALLBACK)) == (0, 1), said


def test_a_module_that_the_settings_name_may_exit(tmp_path, looked):
    write(tmp_path, "mysite.py", "import sys\nsys.exit('nothing set')\n")
    write_ini(tmp_path, store_token="mysite:store_token")
    (finding,) = looked("site.ini").findings
    assert finding.code == "import-failed"
    assert "it called sys.exit(), in mysite.py, line 2" in finding.message


@pytest.mark.slow
def test_a_terminal_that_knows_few_letters_shows_the_others_as_numbers(tmp_path):
    status, said = check(tmp_path, "nö.ini", PYTHONIOENCODING="ascii")
    assert status == 1
    assert said.startswith(r"n\xf6.ini cannot be read")


@pytest.mark.slow
def test_json_is_one_document_whatever_the_site_prints(tmp_path):
    noise = "import os, sys\nprint('noise')\nsys.stderr.write('noise')\nos.write(1, b'noise')\n"
    write(tmp_path, "mysite.py", f"{WIRED}\n{noise}\napp = wrapped(page)\n")
    done = run("check", "mysite:app", "--json", folder=tmp_path)
    assert json.loads(done.stdout) == {
        "ok": True,
        "callback_urls": [CALLBACK],
        "findings": [],
        "notes": ["The settings for OAuth 2.1 are fine."],
    }
    assert done.stderr == ""


# Broken ones


MODULES = {
    "no SCConnect": ("app = page", "no-site"),
    "no such name": ("other = wrapped(page)", "no-module"),
    "a module that is missing": ("import nothing_of_this_name", "import-failed"),
    "a name that is missing": ("from os import nothing_of_this_name", "import-failed"),
    "a variable that is missing": ("import os\nos.environ['MY_SECRET_KEY']", "import-failed"),
    "a file that is missing": ("open('nowhere')", "import-failed"),
    "an undefined name": ("app = undefined_name", "import-failed"),
    "no Python": ("app = (", "import-failed"),
    "a secret in an exception": (f"raise RuntimeError({SECRET!r})", "import-failed"),
    "a secret in a KeyError": (f"{{}}[{SECRET!r}]", "import-failed"),
    "a wrong option": ("app = wrapped(page, 'http://app.example')", "configuration"),
    "no base_url": ("app = wrapped(page, None)", "configuration"),
    "sys.exit": ("import sys\nsys.exit(0)", "import-failed"),
    "a question": ("input('Your name? ')", "import-failed"),
    "an interruption": ("raise KeyboardInterrupt", "import-failed"),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_broken_module_is_one_finding(tmp_path, looked, monkeypatch, name):
    text, code = MODULES[name]
    write(tmp_path, "mysite.py", f"{WIRED}\n{text}\n")
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        report = looked("mysite:app")
    assert codes(report) == [code]
    (finding,) = json.loads(as_json(report))["findings"]
    assert finding["mend"] != ""
    explained = entry(code) if code == "configuration" else page_of_docs("check")
    assert finding["documentation"] == explained
    assert f"\nSee {explained}\n" in as_text(report) + "\n"


def test_a_base_url_of_the_environment_that_the_code_does_not_read_is_told(
    tmp_path, looked, monkeypatch
):
    write(tmp_path, "mysite.py", f"{WIRED}\napp = wrapped(page, None)\n")
    monkeypatch.setenv("SCCONNECT_BASE_URL", "https://app.example")
    [finding] = looked("mysite:app").findings
    assert "SCCONNECT_BASE_URL is set, but this site does not read it" in finding.cause
    assert "**options_from_env()" in finding.mend


@pytest.mark.slow
def test_a_module_that_ends_the_process_is_a_finding(tmp_path):
    write(tmp_path, "mysite.py", f"{WIRED}\nimport os\nos._exit(0)\n")
    status, said = check(tmp_path, "mysite:app", "--json")
    assert status == 1
    assert [finding["code"] for finding in json.loads(said)["findings"]] == ["import-ended"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import nothing_of_this_name", "the module nothing_of_this_name is not installed"),
        (
            "\nimport os\nos.environ['MY_SECRET_KEY']",
            "there is no MY_SECRET_KEY, in mysite.py, line 3",
        ),
        ("app = (", "mysite.py, line 1, is not valid Python"),
        ("open('nowhere')", "FileNotFoundError, No such file or directory (nowhere)"),
        ("import sys; sys.exit(1)", "it called sys.exit()"),
        ("raise ImportError('pip install another')", "it raised ImportError"),
    ],
)
def test_the_reason_of_a_failed_import_is_told(tmp_path, looked, text, reason):
    write(tmp_path, "mysite.py", text)
    (finding,) = looked("mysite:app").findings
    assert reason in finding.message


def test_the_value_of_a_variable_is_not_shown_as_the_name_of_a_file(tmp_path, looked, monkeypatch):
    monkeypatch.setenv("MY_KEY_FILE", SECRET)  # the secret, in place of its file
    write(tmp_path, "mysite.py", "import os\nopen(os.environ['MY_KEY_FILE'])\n")
    (finding,) = looked("mysite:app").findings
    assert "No such file or directory (the file that MY_KEY_FILE names)" in finding.message


@pytest.mark.parametrize("name", ["make_app()", "app.inner"])
def test_the_traceback_is_shown_by_the_command_that_is_named(tmp_path, looked, name):
    write(tmp_path, "mysite.py", f"{WIRED}\ndef make_app():\n    return 1 / 0\napp = wrapped(page)")
    (finding,) = looked(f"mysite:{name}").findings
    assert f"python -c 'import mysite; mysite.{name}'" in finding.mend


def test_a_module_that_does_not_exist_is_told_apart_from_one_that_it_imports(looked):
    assert codes(looked("nowhere.wsgi:app")) == ["no-module"]


def test_the_application_that_is_wrapped_is_named(tmp_path, looked):
    write(tmp_path, "mysite.py", f"{WIRED}\napp = page\napplication = wrapped(app)\n")
    (finding,) = looked("mysite:app").findings
    assert "mysite:application" in finding.cause


@pytest.mark.parametrize(("option", "text"), PLACEHOLDERS)
def test_a_placeholder_is_found_without_asking_the_provider(tmp_path, looked, option, text):
    write_ini(tmp_path, **{option: text})
    (finding,) = looked("site.ini").findings
    assert finding.message.startswith(f"{option} is still a placeholder: ")
    assert text not in str(finding)


@pytest.mark.parametrize(
    "text",
    [
        "4f1ea3bd99",
        "example-app",
        "todolist",
        "todo-app",
        "appsecretary",
        "yourjHgTqkid",
        "!@$^&()-+=!!??",
        "client-id-123",
    ],
)
def test_a_credential_of_words_is_no_placeholder(tmp_path, looked, text):
    write_ini(tmp_path, client_id=text, client_secret=text[::-1])
    assert codes(looked("site.ini")) == []


def test_a_placeholder_in_code_is_found(tmp_path, looked):
    write(tmp_path, "mysite.py", WIRED.replace("the-client-id", "your-client-id") + FINISHED)
    (finding,) = looked("mysite:app").findings
    assert finding.message.startswith("client_id is still a placeholder: ")


@pytest.mark.parametrize("path", ["/oauth/access_token", "/shop/oauth/access_token/"])
def test_the_callback_is_no_base_url(tmp_path, looked, path):
    write_ini(tmp_path, base_url=f"https://app.example{path}")
    (finding,) = looked("site.ini").findings
    words = "must be the address of the site, without /oauth/access_token at its end."
    assert finding.message == f"base_url {words}"


def test_a_section_may_use_one_of_another_file(tmp_path, looked):
    write_ini(tmp_path, "base.ini")
    section = "[filter:production]\nuse = config:base.ini#connect\n"
    write(tmp_path, "site.ini", f"{section}base_url = https://other.example\n")
    report = looked("site.ini")
    assert codes(report) == []
    assert report.callback_urls == ["https://other.example/oauth/access_token"]


@pytest.mark.parametrize("words", ["site.ini", "site.ini#connect"])
def test_a_filter_that_does_not_say_whose_it_is_is_found(tmp_path, looked, words):
    lines = "".join(f"{name} = {text}\n" for name, text in OPTIONS.items())
    site = "[pipeline:main]\npipeline = connect site\n[app:site]\nuse = egg:somebody\n"
    write(tmp_path, "site.ini", f"[filter:connect]\n{lines}{site}")
    (finding,) = looked(words).findings
    assert finding.code == "ini-section"
    assert "The section [filter:connect] of site.ini has no line `use = ...`" in finding.message
    assert "use = egg:scconnect-wsgi" in finding.mend


def test_a_section_that_is_missing_in_a_pipeline_is_found(tmp_path, looked):
    write(tmp_path, "site.ini", "[pipeline:main]\npipeline = nowhere site\n")
    (finding,) = looked("site.ini").findings
    assert "names a section or a factory that does not exist" in finding.message


@pytest.mark.parametrize("words", ["mysite", "mysite.wsgi", "mysite:"])
def test_a_module_without_its_application_says_what_to_type(capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(["check", words])
    assert ended.value.code == 2
    assert "write module:application, such as mysite.wsgi:application" in capsys.readouterr().err


def test_without_a_store_the_environment_says_what_is_missing(looked, monkeypatch):
    for name, text in ENVIRONMENT.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("SCCONNECT_STORE_TOKEN", "")
    report = Report()
    look({"online": False, "url": "", "ca_bundle": "", "target": {}}, report)
    assert report.ok
    assert report.notes[0].startswith("Neither SCCONNECT_STORE nor SCCONNECT_STORE_TOKEN is set")
    monkeypatch.setenv("SCCONNECT_STORE_TOKEN", "HAND_OVER")
    report = Report()
    look({"online": False, "url": "", "ca_bundle": "", "target": {}}, report)
    assert report.notes == ["The settings for OAuth 2.1 are fine."]


INI = {
    "an option that is misspelt": ({"base_ulr": "https://a.example"}, "", "configuration"),
    "a percent sign": ({"client_secret": "50%off"}, "", "ini-unreadable"),
    "no section of ours": ({"use": "egg:gzip"}, "", "ini-section"),
    "a section of an application": ({}, "#site", "ini-section"),
    "a section that is missing": ({}, "#nowhere", "ini-section"),
    "another's filter": ({"use": "egg:scconnect-wsgi#nothing"}, "#connect", "ini-unreadable"),
    "no base_url": ({"base_url": ""}, "", "configuration"),
}


@pytest.mark.parametrize("name", INI)
def test_a_broken_ini_file_is_one_finding(tmp_path, looked, name):
    options, section, code = INI[name]
    write_ini(tmp_path, **options)
    assert codes(looked(f"site.ini{section}")) == [code]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[filter:connect\nuse = egg:scconnect-wsgi", "first [section]"),
        ("use = egg:scconnect-wsgi", "first [section]"),
        ("[filter:connect]\nuse = egg:scconnect-wsgi\nnonsense\n", "line 3"),
    ],
)
def test_a_file_that_is_no_ini_file_is_a_finding_with_its_line(tmp_path, looked, text, word):
    write(tmp_path, "site.ini", text)
    (finding,) = looked("site.ini").findings
    assert word in finding.message


def test_a_filter_of_somebody_else_is_told_apart(tmp_path, looked):
    write(tmp_path, "other.py", "def factory(app, global_conf):\n    return app\n")
    write(tmp_path, "site.ini", "[filter:other]\npaste.filter_app_factory = other:factory\n")
    assert codes(looked("site.ini#other")) == ["ini-section"]


def test_a_file_that_does_not_exist_is_a_finding(tmp_path, looked):
    assert codes(looked("nowhere.ini")) == ["ini-unreadable"]
    (tmp_path / "binary.ini").write_bytes(b"\xff\xfe\x00")
    assert codes(looked("binary.ini")) == ["ini-unreadable"]


@pytest.mark.parametrize(
    "words",
    [
        ["mysite"],
        ["mysite:"],
        ["/srv/mysite.py:app"],
        ["--url", ""],
        ["--url", "app.example"],
        ["--url", "ftp://app.example"],
        ["--url", "https://"],
        ["--url", "https://app.example:port"],
        ["--url", "https://[app.example"],
        ["--url", "https://app.example/?a=b"],
        ["--url", f"https://joe:{SECRET}@app.example"],
        ["--offline"],
    ],
)
def test_a_mistyped_command_ends_with_status_2(capsys, words):
    with pytest.raises(SystemExit) as ended:
        main(["check", *words])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("usage: ")
    assert SECRET not in said.err
    assert said.out == ""


@pytest.mark.slow
def test_a_bundle_that_cannot_be_read_is_a_finding(tmp_path):
    words = ("--url", "https://localhost:9", "--ca-bundle", "nowhere.pem")
    status, said = check(tmp_path, *words, **ENVIRONMENT)
    assert status == 1
    assert "--ca-bundle cannot be read" in said


@pytest.mark.slow
def test_settings_must_be_right_before_a_site_is_looked_at(tmp_path):
    status, said = check(tmp_path, "--url", "https://localhost:9")
    assert status == 1
    assert "first the settings must be right" in said


@pytest.mark.slow
def test_the_directory_of_the_command_is_on_the_path_without_p(tmp_path):
    write(tmp_path, "mysite.py", f"{WIRED}\napp = wrapped(page)\n")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "scconnect_wsgi", "check", "mysite:app"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
