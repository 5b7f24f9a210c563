"""A headless Chromium, controlled through its DevTools pipe: JSON messages, each ended by a zero byte."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_WAIT_S = 60
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it refuses to run as root otherwise, as in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-pipe",
)


def find_browser() -> str:
    """Find the browser program.

    Raises:
        AssertionError: none is installed; `make test` installs one where it may.
    """
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    assert found is not None, f"a browser is needed, one of {', '.join(PROGRAMS)}; try `make tools`"
    return found


def is_shown(part: str) -> str:
    """Write the JavaScript expression that tells whether an element exists and is not hidden."""
    return f"document.getElementById('{part}')?.hidden === false"


class Browser:
    """One page of a browser."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # the browser reads from descriptor 3 and writes to 4
        script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", find_browser(), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._last, self._session = b"", 0, ""
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            self._call(f"{part}.enable")

    def open(self, url: str) -> None:
        """Go to an address; the page is always loaded afresh, even if only the fragment differs."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Evaluate a JavaScript expression on the page and return its value; None where it raises an exception."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return None if "exceptionDetails" in answer else answer["result"].get("value")

    def until(self, expression: str, what: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _WAIT_S
        while self.evaluate(expression) is not True:
            assert time.monotonic() < deadline, f"waited in vain: {what}\n{self.text()}\n{self.complaints}"
            time.sleep(0.05)

    def press_enter(self) -> None:
        """Press and release the Enter key in the focused element."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self._call("Input.dispatchKeyEvent", type="keyDown", **key)
        self._call("Input.dispatchKeyEvent", type="keyUp", **key)

    def screenshot(self, width: int, height: int) -> bytes:
        """Take a screenshot of the page, as PNG, in a window of `width` × `height` pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def screenshot_of(self, part: str) -> bytes:
        """Take a screenshot of one element, as PNG, at the width of the window."""
        box = self.evaluate(
            f"(({{x, y, width, height}}) => ({{x, y: y + scrollY, width, height}}))"
            f"(document.getElementById('{part}').getBoundingClientRect())"
        )
        params = {"format": "png", "captureBeyondViewport": True, "clip": {**box, "scale": 1}}
        return base64.b64decode(self._call("Page.captureScreenshot", **params)["data"])

    def text(self) -> str:
        """Read the visible text of the page."""
        return str(self.evaluate("document.body.innerText"))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(event["params"]))
