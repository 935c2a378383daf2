import pytest

PASSWORD = {"name": "pat", "password": "a long password"}


def test_a_name_is_taken_once(app, pat):
    again = app.test_client().post("/sign-up", data={"name": "pat", "password": "another one"})
    assert "This name is taken" in again.text


def test_a_user_signs_out_and_in(pat):
    assert "Sign out" in pat.get("/").text
    pat.post("/sign-out")
    assert "Sign out" not in pat.get("/").text
    assert "is wrong" in pat.post("/sign-in", data={**PASSWORD, "password": "guessed"}).text
    assert pat.post("/sign-in", data=PASSWORD).location == "/settings/"


def test_a_stranger_signs_in_before_connecting(app, sign_up):
    start = app.test_client().get(
        "/oauth/request_token?return_to=/settings/",
        headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"},
    )
    assert start.location.startswith("/sign-in?next=")
    sign_up("pat")
    back = app.test_client().post(start.location, data=PASSWORD).location
    assert back.startswith("/oauth/request_token?return_to=")


@pytest.mark.parametrize(
    "next",
    ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "/\t/elsewhere"],
)
def test_nobody_is_led_to_another_site(app, pat, next):
    answer = pat.post("/sign-in", query_string={"next": next}, data=PASSWORD)
    assert answer.location == "/settings/"
