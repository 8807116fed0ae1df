"""Who may look at `prior3d watch`: the browser that was given the address with its token, on this machine.

A server on 127.0.0.1 answers every web page that the browser shows: a page finds the port, or lets its own name point
to 127.0.0.1. So three things are asked of each request: the token (once in the address, then in a cookie), the Host,
and of a websocket the Origin.
"""

import contextlib
import hmac
import http
from collections.abc import Awaitable, Callable, Iterator
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio import server
from websockets.datastructures import Headers
from websockets.http11 import Response

COOKIE = "prior3d-watch"
NAMES = ("127.0.0.1", "localhost")
Answer = tuple[http.HTTPStatus, dict[str, str]]  # headers


def answer_to(path: str, headers: Any, port: int, token: str) -> Answer | None:
    """What to answer to a request; None: hand it on.

    Args:
        path: with its query.
        headers: of the request; `get` finds one, whatever its case.
        port: that is served on.
        token: the secret.
    """
    hosts = [f"{name}:{port}" for name in NAMES]
    if headers.get("Host") not in hosts:
        return http.HTTPStatus.FORBIDDEN, {}
    if headers.get("Origin") not in (None, *(f"http://{host}" for host in hosts)):
        return http.HTTPStatus.FORBIDDEN, {}
    given = parse_qs(urlsplit(path).query).get("token", [""])[0]
    if hmac.compare_digest(given.encode(), token.encode()):  # away from the address bar, into a cookie
        cookie = f"{COOKIE}-{port}={token}; HttpOnly; SameSite=Lax; Path=/"
        return http.HTTPStatus.SEE_OTHER, {"Location": "/", "Set-Cookie": cookie}
    if not hmac.compare_digest(_cookie(headers.get("Cookie") or "", f"{COOKIE}-{port}").encode(), token.encode()):
        return http.HTTPStatus.FORBIDDEN, {}
    return None


def _cookie(text: str, name: str) -> str:
    try:
        morsel = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


@contextlib.contextmanager
def guarded(token: str) -> Iterator[None]:
    """Every websocket server that is started in the block asks `answer_to` first; viser has no setting for that."""
    original = server.serve

    def serve(*arguments: Any, process_request: Callable[..., Any], **options: Any) -> Any:
        async def ask_first(connection: Any, request: Any) -> Any:
            port = connection.local_address[1]
            refused = answer_to(request.path, request.headers, port, token)
            if refused is not None:
                status, headers = refused
                text = b"" if "Location" in headers else b"open the address that `prior3d watch` printed\n"
                sent = Headers({**headers, "Content-Length": str(len(text))})
                return Response(status, status.phrase, sent, text)
            answer = process_request(connection, request)
            return await answer if isinstance(answer, Awaitable) else answer

        return original(*arguments, process_request=ask_first, **options)

    server.serve = serve  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        server.serve = original  # type: ignore[misc]
