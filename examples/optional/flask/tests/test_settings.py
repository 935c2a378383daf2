def settings(client):
    return client.get("/settings/").text


def test_a_user_may_do_without_an_account(pat):
    page = settings(pat)
    assert "Connect with SoundCloud" in page
    assert "/oauth/request_token?return_to=/settings/" in page


def test_a_user_connects_and_sees_the_tracks(pat, connect):
    fields = connect(pat)
    assert fields["username"] == "joe"
    assert "Joe Sample" in settings(pat)
    tracks = pat.get(f"/settings/soundcloud/{fields['oauth_token_id']}/tracks").text
    assert "Night Bus (demo)" in tracks
    assert "private" in tracks


def test_a_user_connects_several_accounts_and_disconnects_one(pat, connect):
    joe, ann = connect(pat), connect(pat, "ann")
    assert "Connect another account" in settings(pat)
    pat.post(f"/settings/soundcloud/{joe['oauth_token_id']}/disconnect")
    page = settings(pat)
    assert joe["oauth_token_id"] not in page
    assert ann["oauth_token_id"] in page


def test_an_account_is_shown_to_its_user_only(sign_up, pat, connect):
    path = f"/settings/soundcloud/{connect(pat)['oauth_token_id']}"
    robin = sign_up("robin")
    assert "Joe Sample" not in settings(robin)
    assert robin.get(f"{path}/tracks").status_code == 302
    assert robin.post(f"{path}/disconnect").status_code == 404
    assert pat.get(f"{path}/tracks").status_code == 200


def test_the_page_says_that_a_connection_has_ended(pat, connect, soundcloud):
    id = connect(pat)["oauth_token_id"]
    soundcloud.revoke("joe")
    answer = pat.get(f"/settings/soundcloud/{id}/tracks", follow_redirects=True)
    assert answer.request.path == "/settings/"
    assert "Connect again" in answer.text
    assert connect(pat)["oauth_token_id"] == id
    assert "Connect again" not in settings(pat)


def test_a_connection_that_has_ended_can_be_removed(pat, connect, soundcloud):
    path = f"/settings/soundcloud/{connect(pat)['oauth_token_id']}"
    soundcloud.revoke("joe")
    pat.get(f"{path}/tracks")
    assert pat.post(f"{path}/disconnect", follow_redirects=True).status_code == 200
    assert "Joe Sample" not in settings(pat)


def test_an_expired_token_is_nobodys_trouble(pat, connect, soundcloud):
    id = connect(pat)["oauth_token_id"]
    soundcloud.expire("joe")
    assert pat.get(f"/settings/soundcloud/{id}/tracks").status_code == 200


def test_the_page_says_when_soundcloud_is_down(pat, connect, soundcloud):
    path = f"/settings/soundcloud/{connect(pat)['oauth_token_id']}/tracks"
    with soundcloud.misbehaving("429=3600"):
        assert pat.get(path).status_code == 503
    with soundcloud.misbehaving("garbage"):
        assert pat.get(path).status_code == 502
    assert pat.get(path).status_code == 200


def test_a_user_who_does_not_allow_it_is_told(app, pat, cookie, soundcloud):
    refused = soundcloud.refuse(app, headers=cookie(pat))
    page = pat.get("/settings/", query_string=refused.fields, follow_redirects=True).text
    assert "You did not allow the connection" in page


def test_what_went_well_is_said_once(pat, connect):
    fields = connect(pat)
    page = pat.get("/settings/", query_string=fields, follow_redirects=True).text
    assert "Your SoundCloud account is connected" in page
    assert "Your SoundCloud account is connected" not in settings(pat)


def test_the_site_may_have_a_prefix(app, pat, cookie, soundcloud):
    page = pat.get("/settings/", base_url="http://localhost/shop").text
    assert 'href="/shop/oauth/request_token?return_to=/shop/settings/"' in page
    connected = soundcloud.connect(app, headers=cookie(pat), mount="/shop")
    assert connected.fields["username"] == "joe"
