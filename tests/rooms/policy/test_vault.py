"""The locks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Misconfigured, Sealed
from gateway.vault import Vault, generate

VAULT = Vault(generate())


@given(st.binary(max_size=2000), st.text(max_size=40))
def test_what_is_sealed_opens_where_it_was_sealed(plain: bytes, place: str) -> None:
    key, wrapped = VAULT.new_key("ref_1")
    sealed = key.seal(plain, place)
    assert VAULT.key(wrapped, "ref_1").open(sealed, place) == plain
    assert len(plain) < 8 or plain not in sealed
    with pytest.raises(Sealed):
        key.open(sealed, place + "x")


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(1, 255))
def test_one_changed_byte_is_noticed(plain: bytes, at: int, change: int) -> None:
    key, _ = VAULT.new_key("ref_1")
    sealed = bytearray(key.seal(plain, "here"))
    sealed[at % len(sealed)] ^= change
    with pytest.raises(Sealed):
        key.open(bytes(sealed), "here")


def test_a_key_opens_for_its_own_record_and_master_only() -> None:
    _, wrapped = VAULT.new_key("ref_1")
    with pytest.raises(Sealed):
        VAULT.key(wrapped, "ref_2")
    with pytest.raises(Sealed):
        Vault(generate()).key(wrapped, "ref_1")


def test_the_blind_index_is_stable_per_column_and_key() -> None:
    assert VAULT.blind("subject", "GLA-1") == VAULT.blind("subject", "GLA-1")
    others = {
        VAULT.blind("reference", "GLA-1"),
        VAULT.blind("subject", "GLA-2"),
        Vault(generate()).blind("subject", "GLA-1"),
    }
    assert VAULT.blind("subject", "GLA-1") not in others
    assert len(others) == 3


@pytest.mark.parametrize("key", ["", "short", "a" * 44, "not base64!"])
def test_a_bad_master_key_is_named(key: str) -> None:
    with pytest.raises(Misconfigured, match="master_key"):
        Vault(key)


def test_nothing_of_a_key_is_shown() -> None:
    key, _ = VAULT.new_key("ref_1")
    assert "object at" in repr(key) or repr(key).startswith("<")
    assert "object at" in repr(VAULT)
