"""An adapter as nobody would want it. What it does is set by its setting ``does``; a probe tells in the request what it found."""

import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gateway_sdk as sdk
from pydantic import BaseModel


class Settings(BaseModel):
    does: str = "nothing"
    path: str = ""


def reach_a_unix_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)


PROBES: dict[str, Callable[[str], Any]] = {
    "network": lambda _: urllib.request.urlopen("http://127.0.0.1:5432", timeout=1),
    "unix socket": reach_a_unix_socket,
    "read": lambda path: Path(path).read_text(),
    "read environment of parent": lambda _: Path(f"/proc/{os.getppid()}/environ").read_text(),
    "write": lambda path: Path(path).write_text("x"),
    "list": lambda path: os.listdir(path),
    "run": lambda _: subprocess.run(["/bin/true"], check=True),
    "fork": lambda _: os.fork(),
    "thread": lambda _: threading.Thread(target=time.sleep, args=(0,)).start(),
    "memory": lambda _: len(bytearray(2_000_000_000)),
    "signal": lambda _: os.kill(os.getppid(), 0),
    "environment": lambda _: sorted(os.environ),
}


def loop() -> None:
    while True:
        pass


HARM: dict[str, Callable[[sdk.Referral], Any]] = {
    "crash": lambda _: os._exit(1),
    "hang": lambda _: time.sleep(3600),
    "loop": lambda _: loop(),
    "giant": lambda _: sdk.RestRequest("POST", "/", json={"found": "x" * 50_000_000}),
    "babble": lambda _: os.write(0, b"nonsense\n" * 100) and time.sleep(3600),
    "quote": lambda referral: int(referral["/person/name/family"]),
    "wrong": lambda _: sdk.RestRequest(7, ["no path"], headers={"X": 5}),  # type: ignore[arg-type,dict-item]
}


class Hostile(sdk.Adapter):
    purpose = "housing"
    needs = sdk.needs("/person/name", "/request/ask")
    Settings = Settings

    def translate(self, referral: sdk.Referral) -> sdk.RestRequest:
        does = self.settings.does
        if does in HARM:
            harmed: sdk.RestRequest = HARM[does](referral)
            return harmed
        if does not in PROBES:
            return sdk.RestRequest("POST", "/referrals", json={"key": referral.delivery_key})
        try:
            found = f"got {PROBES[does](self.settings.path)}"
        except Exception as error:  # noqa: BLE001  whatever stopped it
            found = type(error).__name__
        return sdk.RestRequest("POST", "/", json={"found": found})

    def classify(self, reply: sdk.Reply) -> sdk.Outcome:
        return sdk.Delivered("H-1")


@sdk.hookimpl
def register_adapters(register: Any) -> None:
    register(Hostile)
