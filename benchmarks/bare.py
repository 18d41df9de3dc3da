"""The bare framework, to compare with: the same FastAPI, doing next to nothing."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg_pool
from fastapi import FastAPI, Request

pool = psycopg_pool.ConnectionPool(os.environ["GATEWAY_DATABASE_URL"], min_size=4, max_size=20, open=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    pool.open()
    yield
    pool.close()


app = FastAPI(lifespan=lifespan)


@app.post("/parse", status_code=202)
async def parse(request: Request) -> dict[str, Any]:
    """Parses the document and returns."""
    return {"members": len(await request.json())}


@app.post("/row", status_code=202)
def row(document: dict[str, Any]) -> dict[str, Any]:
    """Parses the document and commits one row."""
    with pool.connection() as connection:
        connection.execute("INSERT INTO one_row (document) VALUES (%s)", (str(document),))
    return {"members": len(document)}
