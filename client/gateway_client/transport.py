"""One call: who is calling, the deadline, and repeats where they do no harm."""

import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from .credentials import ApiKey, Bearer, ClientCredentials
from .errors import NoAnswer, Problem, Unauthenticated, problem

LATER = {429, 502, 503, 504}
PAUSE, LONGEST = 0.3, 10.0  # seconds before the first repeat, doubled each time up to the longest
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class Transport:
    """*timeout*: seconds of silence that end one try. *patience*: seconds for a call with all its repeats."""

    def __init__(self, base_url: str, who: ApiKey | ClientCredentials, timeout: float, patience: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("base_url: use https, so that the key and the referrals are not sent in the clear")
        self._base, self._timeout, self._patience = base_url.rstrip("/"), timeout, patience
        self._who, self._session = who, requests.Session()
        self._session.headers["User-Agent"] = "referral-gateway-client"

    def close(self) -> None:
        self._session.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
    ) -> Any:
        """The answer's document. Raises NoAnswer, Problem.

        *key*: sent as Idempotency-Key, the same in each try. *repeat*: whether a second request does no harm;
        without a word, GET, PUT, PATCH and DELETE do none (RFC 9110), and neither does what has a *key*.
        """
        safe = (method != "POST" or key is not None) if repeat is None else repeat
        headers = {**(headers or {}), **({"Idempotency-Key": key} if key else {})}
        until = time.monotonic() + self._patience
        tries, renewed = 0, False
        while True:
            tries += 1
            wait = max(0.1, min(self._timeout, until - time.monotonic()))
            token: str | None = None
            try:
                token = self._who.token(self._session, self._base, wait)
                outcome = self._once(method, path, json, query, headers, wait, token)
            except (NoAnswer, Problem) as failed:  # no token: nothing was sent yet
                outcome = failed
            if not isinstance(outcome, NoAnswer | Problem):
                return outcome
            if token and isinstance(outcome, Unauthenticated) and not renewed and self._who.forget(token):
                renewed = True
                continue
            pause = _pause(outcome, tries)
            if not (safe or token is None) or pause is None or time.monotonic() + pause >= until:
                raise outcome
            time.sleep(pause)

    def _once(
        self,
        method: str,
        path: str,
        json: Any,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        wait: float,
        token: str,
    ) -> Any:
        """The answer's document, or the error it amounts to, unraised."""
        try:
            answer = self._session.request(
                method, self._base + path, json=json, params=query, headers=headers, timeout=wait, auth=Bearer(token),
                allow_redirects=False,
            )  # fmt: skip
            document = answer.json() if answer.content else None
        except requests.JSONDecodeError:
            document = None
        except requests.RequestException as error:  # its text may quote what was sent
            return NoAnswer(f"{method} {path}: {type(error).__name__}; nobody knows whether it was taken")
        if answer.ok and not answer.is_redirect and (document is not None or answer.status_code == 204):
            return document
        found = document if isinstance(document, dict) else {}
        return problem(answer.status_code, found, answer.headers.get("Retry-After", ""))


def _pause(failed: NoAnswer | Problem, tries: int) -> float | None:
    """Seconds until the next try, or None: another would end the same. At least what the gateway asks for."""
    if isinstance(failed, Problem) and failed.status not in LATER:
        return None
    own = min(LONGEST, PAUSE * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0)
    return max(own, failed.retry_after or 0.0) if isinstance(failed, Problem) else own
