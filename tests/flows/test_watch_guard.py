"""Who may look at `prior3d watch`: only the browser that was given the address with its token."""

import http
import urllib.error
import urllib.request

import pytest

from flows.watching.guard import COOKIE, answer_to, guarded

PORT, TOKEN = 8190, "a-secret"
HOST = {"Host": f"127.0.0.1:{PORT}"}
KNOWN = {**HOST, "Cookie": f"other=1; {COOKIE}-{PORT}={TOKEN}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        HOST,
        {**KNOWN, "Host": f"evil.example:{PORT}"},  # a name that was made to point to 127.0.0.1
        {**KNOWN, "Host": "127.0.0.1:8080"},
        {**KNOWN, "Host": f"127.0.0.1.evil.example:{PORT}"},
        {**KNOWN, "Origin": "http://evil.example"},
        {**KNOWN, "Origin": "http://127.0.0.1:8080"},
        {**KNOWN, "Origin": "null"},
        {**HOST, "Cookie": f"{COOKIE}-{PORT}=wrong"},
        {**HOST, "Cookie": f"{COOKIE}-9999={TOKEN}"},
        {**HOST, "Cookie": "\x00;=;;"},
    ],
)
def test_who_is_refused(headers):
    for path in ("/", "/index.html", "/?token=wrong", "/?token="):
        assert answer_to(path, headers, PORT, TOKEN) == (http.HTTPStatus.FORBIDDEN, {})


def test_who_is_let_in():
    assert answer_to("/", KNOWN, PORT, TOKEN) is None
    assert answer_to("/assets/a.js", KNOWN | {"Origin": f"http://127.0.0.1:{PORT}"}, PORT, TOKEN) is None
    status, headers = answer_to(f"/?token={TOKEN}", HOST, PORT, TOKEN)
    assert status == http.HTTPStatus.SEE_OTHER and headers["Location"] == "/"
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite" in headers["Set-Cookie"]
    assert answer_to("/", HOST | {"Cookie": headers["Set-Cookie"].partition(";")[0]}, PORT, TOKEN) is None
    assert answer_to(f"/?token={TOKEN}", {"Host": "evil.example"}, PORT, TOKEN)[0] == http.HTTPStatus.FORBIDDEN


@pytest.fixture
def viser_server():
    """The package's own server behind the guard, and its address."""
    viser = pytest.importorskip("viser")
    with guarded(TOKEN):
        server = viser.ViserServer(host="127.0.0.1", port=8290, verbose=False)
    yield f"http://127.0.0.1:{server.get_port()}"
    server.stop()


def status_of(url, opener=None, **headers):
    opener = opener or urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_itself(viser_server):
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    assert status_of(viser_server) == 403
    assert status_of(f"{viser_server}/?token={TOKEN}", Host="evil.example") == 403
    answer = browser.open(f"{viser_server}/?token={TOKEN}", timeout=30)
    assert answer.status == 200 and answer.geturl() == f"{viser_server}/"
    assert (
        status_of(viser_server, browser) == 200
        and status_of(viser_server, browser, Origin="http://evil.example") == 403
    )


def test_its_websocket(viser_server):
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    address = f"ws{viser_server.removeprefix('http')}/"
    port = viser_server.rpartition(":")[2]
    cookie = {"Cookie": f"{COOKIE}-{port}={TOKEN}"}
    for headers in ({}, cookie | {"Origin": "http://evil.example"}):
        with pytest.raises(InvalidStatus) as refused:
            connect(address, additional_headers=headers, proxy=None)
        assert refused.value.response.status_code == 403
    connect(address, additional_headers=cookie, proxy=None, subprotocols=["viser-v1.1.1"]).close()
