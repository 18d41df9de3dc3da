"""Chromium without a head, driven over a pipe by its own DevTools protocol: no driver, no library."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE = 20.0
PIPES = (  # Chromium listens on its file 3 and answers on 4
    "import fcntl, os, sys; ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]; "
    "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execv(sys.argv[3], sys.argv[3:])"
)


class Chromium:
    """One tab. *said*: what its console and its policy complained of."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back, self._rest, self._number, self._session = to, back, b"", 0, ""
        self.said: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._back, 1 << 20)
            assert chunk, "Chromium has ended"
            self._rest += chunk
        one, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(one)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        match event:
            case {"method": "Log.entryAdded", "params": {"entry": entry}} if entry["level"] != "info":
                self.said.append(f"{entry['source']}: {entry['text']}")
            case {"method": "Runtime.exceptionThrown"}:
                self.said.append("a script failed")

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression, in the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of *script*, once it is true."""
        until = time.monotonic() + PATIENCE
        while not (found := self.ask(script)):
            assert time.monotonic() < until, f"{script} at {self.ask('location.href')}: {self.text()[:500]}"
            time.sleep(0.05)
        return found

    def go(self, address: str) -> None:
        self._leave(lambda: self.call("Page.navigate", url=address))

    def press(self, selector: str) -> None:
        """Click, and wait for the page that follows."""
        self._leave(lambda: self.ask(f"document.querySelector({json.dumps(selector)}).click()"))

    def _leave(self, deed: Any) -> None:
        self.ask("window.left = false")
        deed()
        self.wait("window.left === undefined && document.readyState === 'complete'")

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.ask(f"document.querySelector('#{name}').value = {json.dumps(value)}")

    def text(self) -> str:
        return str(self.ask("document.body.innerText"))

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def picture(self, path: Path) -> None:
        path.write_bytes(b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextmanager
def chromium() -> Iterator[Chromium]:
    assert CHROMIUM
    there, to = os.pipe()
    back, here = os.pipe()
    with tempfile.TemporaryDirectory(prefix="gw-chromium-", ignore_cleanup_errors=True) as profile:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--remote-debugging-pipe", f"--user-data-dir={profile}"]  # fmt: skip

        command = [sys.executable, "-c", PIPES, str(there), str(here), CHROMIUM, *flags]
        process = subprocess.Popen(
            command, pass_fds=(there, here), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(here)
        try:
            yield Chromium(to, back)
        finally:
            process.kill()
            process.wait()
            os.close(to)
            os.close(back)
