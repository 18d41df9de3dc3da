"""What a good developer writes in an afternoon, to compare with: FastAPI, SQLAlchemy's ORM, Celery, requests.

It checks the schema and sends. It knows no consent, seals nothing, keeps no audit; killed while it sends, it either
loses the referral or sends it twice.
"""

import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import celery
import gateway_schemas
import requests
from fastapi import FastAPI, HTTPException
from gateway_housing import Housing, contract
from gateway_sdk import Referral
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from sqlalchemy import JSON, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DOCUMENTS = [gateway_schemas.load(name) for name in ("meta", *gateway_schemas.NAMES)]
REGISTRY: Registry[Any] = Registry().with_resources([(d["$id"], DRAFT202012.create_resource(d)) for d in DOCUMENTS])
VALIDATOR = Draft202012Validator(gateway_schemas.load("referral"), registry=REGISTRY)
ENGINE = create_engine(
    os.environ["GATEWAY_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"), pool_size=16
)

tasks = celery.Celery("by_hand", broker=os.environ["BY_HAND_BROKER"])
tasks.conf.update(task_ignore_result=True, task_acks_late=True, task_default_queue=os.environ["BY_HAND_QUEUE"])
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "by_hand"
    id: Mapped[str] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(default="waiting")
    sent_at: Mapped[datetime | None]


@app.post("/referrals", status_code=202)
def accept(document: dict[str, Any]) -> dict[str, str]:
    if not VALIDATOR.is_valid(document):
        raise HTTPException(400, "not a referral")
    with Session(ENGINE) as session:
        row = Row(id=f"del_{uuid4().hex[:17].upper()}", document=document)
        session.add(row)
        session.commit()
        send.delay(row.id)
        return {"id": row.id}


@tasks.task(bind=True, max_retries=8)
def send(self: Any, identifier: str) -> None:
    with Session(ENGINE) as session:
        row = session.get(Row, identifier)
        if row is None or row.state == "sent":
            return
        view = gateway_schemas.agency_view(row.document, row.document["requests"][0]["agency"])
        data = gateway_schemas.keep(view, Housing.needs.pointers)
        body = contract.document(Referral(row.id, datetime.now(UTC), data, Housing.needs))
        headers = {"Authorization": f"Bearer {os.environ['BY_HAND_TOKEN']}", "Idempotency-Key": row.id}
        try:
            requests.post(os.environ["BY_HAND_AGENCY"], json=body, headers=headers, timeout=20).raise_for_status()
        except requests.RequestException as error:
            raise self.retry(exc=error, countdown=5) from error
        row.state, row.sent_at = "sent", datetime.now(UTC)
        session.commit()
