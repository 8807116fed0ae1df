"""Headless Chromium, told what to do through its DevTools protocol: what the tests of pages look with."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
]  # fmt: skip
WAIT_S = 300.0  # drawn by the processor, on cores that others use too
COVERED = """Promise.all([...document.querySelectorAll('model-viewer')].map(async (v) => {
  if (!v.loaded) return 0;
  const image = new Image(); image.src = v.toDataURL(); await image.decode();
  const c = document.createElement('canvas'); c.width = image.width; c.height = image.height;
  const g = c.getContext('2d'); g.drawImage(image, 0, 0);
  const d = g.getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 200;
  return n / (c.width * c.height); }))"""


class Page:
    """One tab. What it complains of is in `errors`, what it fetched from elsewhere in `fetched`."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._number = connection, 0
        self.errors: list[str] = []
        self.fetched: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol; what happens meanwhile is noted."""
        self._number += 1
        self._connection.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=WAIT_S))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif message.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif message.get("method") == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith(("data:", "blob:", "file:")):
                self.fetched.append(url)

    def open(self, file: Path) -> float:
        """Load a page from the disk; returns the seconds until its load event."""
        return self.visit(file.absolute().as_uri())

    def visit(self, url: str) -> float:
        """Load a page; returns the seconds until its load event."""
        started = time.monotonic()
        self.call("Page.navigate", url=url)
        self.wait(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(url)})")
        return time.monotonic() - started

    def evaluate(self, expression: str) -> Any:
        """The value of an expression; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = WAIT_S) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"never true in {seconds} s: {expression}"
            time.sleep(0.05)

    def until(self, holds: Callable[[], bool], seconds: float = WAIT_S) -> None:
        """Wait until a question about the page is answered with yes."""
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, f"never true in {seconds} s"
            time.sleep(0.2)

    def covered(self, viewers: int, seconds: float = WAIT_S) -> list[float]:
        """The share of pixels that its mesh covers, for each viewer of meshes, once all have drawn something.

        A viewer says that its mesh is loaded before the first frame is drawn.
        """
        shares: list[float] = []

        def drawn() -> bool:
            shares[:] = self.evaluate(COVERED)
            return len(shares) == viewers and all(shares)

        self.until(drawn, seconds)
        return shares

    def look(self, width: int, height: int, dark: bool = False, phone: bool = False) -> None:
        """Be a screen of this size, and a person who likes it dark or not."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def press(self, key: str, text: str = "") -> None:
        """Press and let go of a key."""
        code = {"Enter": 13, "Escape": 27, "Tab": 9}.get(key, 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at one place and let go of it at another."""
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], button="left", clickCount=1)
        for part in (0.25, 0.5, 0.75, 1.0):
            x, y = (a + part * (b - a) for a, b in zip(start, end, strict=True))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], button="left", clickCount=1)

    def follow(self, page: Path, downloads: Path) -> dict[str, str | bytes]:
        """Click each link of a page: its address, and what came: the text of a page, or the bytes of a file."""
        self.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.open(page)
        links = "[...document.querySelectorAll('a[href]')]"
        came: dict[str, str | bytes] = {}
        for address in dict.fromkeys(self.evaluate(f"{links}.map((a) => a.href)")):
            self.open(page)
            for old in downloads.iterdir():
                old.unlink()
            self.evaluate(f"{links}.find((a) => a.href === {json.dumps(address)}).click()")
            self.until(lambda address=address: self._has_come(address, downloads), 30)  # type: ignore[misc]
            saved = list(downloads.iterdir())
            came[address] = saved[0].read_bytes() if saved else self.evaluate("document.body.innerText")
        return came

    def _has_come(self, address: str, downloads: Path) -> bool:
        if any(file.suffix != ".crdownload" for file in downloads.iterdir()):
            return True
        place = self.evaluate("document.readyState === 'complete' ? location.href : ''")
        assert not place.startswith("chrome-error:"), f"{address} leads nowhere"
        return place.rstrip("/") == address.rstrip("/")

    def screenshot(self, file: Path, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A fresh browser with one tab."""
    from websockets.sync.client import connect

    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            port = _port(process)
            with connect(f"ws://127.0.0.1:{port}{_target(port)}", max_size=None, proxy=None) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            process.wait(10)
            assert process.stderr is not None
            process.stderr.close()


def _port(process: subprocess.Popen) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(r"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line)
        if found:
            return int(found[1])
    raise AssertionError("Chromium did not start")


def _target(port: int) -> str:
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=WAIT_S) as answer:
        tabs = json.load(answer)
    url = next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page")
    return "/" + url.split("/", 3)[3]
