"""A process that logs like ours, in which libraries raise errors that quote what they were given: CanaryValue."""

import json
import logging
import smtplib
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema
import psycopg
import pydantic
import requests
import sqlalchemy
import zeep
from gateway_social_security import SocialSecurity
from lxml import etree

from gateway import logs

VALUE = "CanaryValue"
LOGGERS = (
    "zeep.transports", "requests", "urllib3.connectionpool", "sqlalchemy.engine", "psycopg", "kombu", "celery.app.trace",
    "celery.worker", "uvicorn.error",
)  # fmt: skip


def _zeep() -> None:
    client = zeep.Client(str(SocialSecurity.wsdl), transport=zeep.Transport())
    client.create_message(client.service, "GetReferralStatus", **{VALUE: VALUE})


def _schema() -> None:
    schema = etree.XMLSchema(etree.XML('<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema"/>'))
    schema.assertValid(etree.XML(f"<{VALUE}/>"))


def raising(database: str) -> Mapping[str, Callable[[], Any]]:
    """What raises, by library."""
    engine = sqlalchemy.create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    return {
        "zeep": _zeep,
        "lxml": lambda: etree.fromstring(f"<a>{VALUE}</{VALUE}>"),
        "lxml, by schema": _schema,
        "requests": lambda: requests.get(f"http://127.0.0.1:1/{VALUE}", params={"name": VALUE}, timeout=1),
        "SQLAlchemy": lambda: engine.connect().execute(sqlalchemy.text("SELECT cast(:name AS int)"), {"name": VALUE}),
        "psycopg": lambda: psycopg.connect(database).execute("SELECT cast(%s AS int)", [VALUE]),
        "jsonschema": lambda: jsonschema.validate({"name": VALUE}, {"properties": {"name": {"type": "number"}}}),
        "pydantic": lambda: pydantic.TypeAdapter(int).validate_python(VALUE),
        "json": lambda: {}[json.loads(f'"{VALUE}"')],
        "smtplib": lambda: (_ for _ in ()).throw(smtplib.SMTPRecipientsRefused({VALUE: (550, VALUE.encode())})),
        "ours": lambda: int(VALUE),
    }


def main(database: str) -> None:
    """Every way in which an error gets out: our log, a library's log, a thread, and in the end the process itself."""
    logs.configure("DEBUG")
    for name, act in raising(database).items():
        try:
            act()
        except Exception as error:  # that is what is looked at
            quotes = VALUE in str(error) + repr(error)
            logs.get().error("failed", action="attempt", exc_info=error, payload=VALUE)
            for logger in LOGGERS:
                logging.getLogger(logger).error("it failed", exc_info=error, stack_info=True)
                logging.getLogger(logger).debug("<soap:Body>%s</soap:Body>", VALUE)
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()
            print(f"{name}: {type(error).__name__}: {quotes}", flush=True)
    raise RuntimeError(VALUE)


if __name__ == "__main__":
    main(sys.argv[1])
