"""A headless Chromium that is told what to do through a pipe, by its DevTools protocol.

With it a test sees a page as a reader does: at a phone's width, in dark mode, on paper. It needs
nothing but the browser.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip
_PATIENCE = 60.0  # seconds for an answer


class Browser:
    """One page of a running browser; see `chromium`."""

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._buffer, self._number, self._session = b"", 0, None
        self.events = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def show(self, path, *, width=1280, height=900, dark=False, media="screen"):
        """Loads a file as a screen of that size shows it, and forgets the events before."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        self._ask("Page.navigate", url=path.resolve().as_uri())
        self._until(lambda: any(each["method"] == "Page.loadEventFired" for each in self.events))

    def value(self, script):
        """What a JavaScript expression is worth on the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self):
        """The whole page as a PNG: bytes."""
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self._ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self):
        """The page as it is printed: bytes."""
        answer = self._ask("Page.printToPDF", printBackground=False)
        return base64.b64decode(answer["data"])

    def complaints(self):
        """What the page wrote to the console, and what went wrong on it."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [each["params"] for each in self.events if each["method"] in kinds]

    def requests(self):
        """The addresses the page asked for, of what is not inside it."""
        sent = (each for each in self.events if each["method"] == "Network.requestWillBeSent")
        urls = [each["params"]["request"]["url"] for each in sent]
        return [url for url in urls if not url.startswith("data:")]

    def _ask(self, method, **params):
        self._number += 1
        number, message = self._number, {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answers = []

        def answered():
            answers[:] = [each for each in self.events if each.get("id") == number]
            return answers

        self._until(answered)
        self.events.remove(answers[0])
        assert "error" not in answers[0], (method, answers[0])
        return answers[0]["result"]

    def _until(self, holds):
        end = time.monotonic() + _PATIENCE
        while not holds():
            left = end - time.monotonic()
            assert left > 0 and select.select([self._read], [], [], left)[0], "no answer in time"
            content = os.read(self._read, 1 << 20)
            assert content, "the browser ended"
            *messages, self._buffer = (self._buffer + content).split(b"\0")
            self.events += [{"method": "", **json.loads(each)} for each in messages]


@contextlib.contextmanager
def chromium(folder):
    """A `Browser` with a profile of its own in a folder; skips the test where there is none."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip(f"no browser to look at the page with: {', '.join(_NAMES)}")
    read_commands, write_commands = os.pipe()
    read_answers, write_answers = os.pipe()
    # The browser reads from file 3 and writes to file 4.
    through = f'exec "$@" 3<&{read_commands} 4>&{write_answers} 2>/dev/null'
    process = subprocess.Popen(
        ["bash", "-c", through, "bash", path, *_FLAGS, f"--user-data-dir={folder}", "about:blank"],
        pass_fds=(read_commands, write_answers),
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        yield Browser(read_answers, write_commands)
    finally:
        process.terminate()
        process.wait(30)
        os.close(write_commands)
        os.close(read_answers)
