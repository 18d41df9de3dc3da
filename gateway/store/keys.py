"""Data keys, wrapped, in a table of their own: who destroys one shreds its record (NIST SP 800-88, cryptographic erase)."""

from collections.abc import Sequence

from gateway.errors import Misconfigured, Sealed
from gateway.vault import INDEX, DataKey

from .session import Store, Tx


def of(tx: Tx, record: str) -> DataKey:
    """The data key of *record*. Raises Sealed, also when it was destroyed."""
    row = tx.one("SELECT wrapped FROM data_keys WHERE record = %(record)s", {"record": record})
    return tx.vault.key(row["wrapped"] if row else None, record)


def destroy(tx: Tx, records: Sequence[str]) -> None:
    """Nobody reads *records* any more, nor anything sealed beside them."""
    tx.put("DELETE FROM data_keys WHERE record = ANY(%(records)s)", {"records": list(records)})


# One step in the index for each version: to count them all would take the longer the more keys there are.
VERSIONS = """
WITH RECURSIVE each AS (
    (SELECT version FROM data_keys ORDER BY version LIMIT 1)
    UNION ALL
    SELECT next.version FROM each CROSS JOIN LATERAL (
        SELECT version FROM data_keys WHERE version > each.version ORDER BY version LIMIT 1) AS next
)
SELECT version FROM each
"""


def match(store: Store) -> None:
    """Make sure that the vault has every master key that a data key is wrapped with, and the key of the blind index.

    The latter is made by the first process that asks, and stays when master keys change. Raises Misconfigured.
    """
    with store.begin() as tx:
        in_use = {row["version"] for row in tx.all(VERSIONS)}
        if missing := sorted(in_use - tx.vault.versions):
            raise Misconfigured(
                f"setting master_keys: version {missing[0]} is missing, and data keys are wrapped with it: "
                "give it, and run gateway keys rewrap before you take it away"
            )
        tx.put(
            "INSERT INTO data_keys (record, wrapped) VALUES (%(record)s, %(wrapped)s) ON CONFLICT DO NOTHING",
            {"record": INDEX, "wrapped": tx.vault.wrapped_index()},
        )
        row = tx.one("SELECT wrapped FROM data_keys WHERE record = %(record)s", {"record": INDEX})
        assert row is not None, "it was put there"
        try:
            tx.vault.use_index(row["wrapped"])
        except Sealed:
            raise Misconfigured(
                f"setting master_keys: version {row['wrapped'][0]} is another key than the one this database was sealed with"
            ) from None


def counts(tx: Tx) -> dict[int, int]:
    """``{version: how many data keys it wraps}``."""
    rows = tx.all("SELECT version, count(*) AS n FROM data_keys GROUP BY version ORDER BY version")
    return {row["version"]: row["n"] for row in rows}


def rewrap(tx: Tx, most: int = 500) -> int:
    """Wrap some of what another master key wraps with the present one. Returns how many; 0: there is none left.

    Those that another transaction works on are passed over. Raises Sealed.
    """
    rows = tx.all(
        "SELECT record, wrapped FROM data_keys WHERE version < %(current)s OR version > %(current)s "
        "LIMIT %(most)s FOR UPDATE SKIP LOCKED",
        {"current": tx.vault.current, "most": most},
    )
    tx.put(
        "UPDATE data_keys SET wrapped = new.wrapped FROM unnest(%(records)s::text[], %(wrapped)b::bytea[]) AS new(record, wrapped) "
        "WHERE data_keys.record = new.record",
        {
            "records": [row["record"] for row in rows],
            "wrapped": [tx.vault.rewrap(row["wrapped"], row["record"]) for row in rows],
        },
    )
    return len(rows)


def prove(tx: Tx) -> tuple[int, int]:
    """How many kept records have a data key that the vault unwraps, and how many have none: they were erased.

    Raises Sealed when one does not unwrap.
    """
    kept = tx.all(
        "SELECT id, wrapped FROM (SELECT id FROM referrals WHERE erased_at IS NULL UNION ALL "
        "  SELECT id FROM consents WHERE erased_at IS NULL) AS kept LEFT JOIN data_keys ON record = id"
    )
    for row in kept:
        if row["wrapped"] is not None:
            tx.vault.key(row["wrapped"], row["id"])
    missing = sum(row["wrapped"] is None for row in kept)
    return len(kept) - missing, missing
