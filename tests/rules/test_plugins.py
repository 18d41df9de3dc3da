"""Only adapters that the settings name are loaded, and only such as keep to the contract."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import gateway_sdk as sdk
import pluggy
import pytest

from gateway import plugins
from gateway.errors import Misconfigured
from gateway.settings import Settings

SETTINGS = {"agencies": {"a": {"adapter": "odd", "base_url": "https://a.example", "areas": ["glasgow"]}}}


class Odd(sdk.Adapter):
    purpose = "housing"
    needs = sdk.needs("/person/name")


def install(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """A module with *members* behind the entry point called odd, and another that must never be imported."""
    module = ModuleType("odd_adapter")
    for name, member in members.items():
        setattr(module, name, member)
    monkeypatch.setitem(sys.modules, "odd_adapter", module)
    points = [
        EntryPoint("odd", "odd_adapter", sdk.ENTRY_POINTS),
        EntryPoint("forbidden", "never_import_this", sdk.ENTRY_POINTS),
    ]

    class Distribution:
        metadata = {"name": "odd"}
        entry_points = points

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Distribution()])


def registering(*adapters: type) -> Any:
    @sdk.hookimpl
    def register_adapters(register: Any) -> None:
        for adapter in adapters:
            register(adapter)

    return register_adapters


def test_the_named_one_is_loaded_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, register_adapters=registering(Odd))
    assert isinstance(plugins.load(Settings(**SETTINGS))["a"].adapter, Odd)  # type: ignore[arg-type]
    assert "never_import_this" not in sys.modules


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({}, "registers 0 adapters"),
        ({"register_adapters": registering(Odd, Odd)}, "registers 2 adapters"),
        ({"register_adapter": registering(Odd)}, "implements a hook the gateway does not have"),
        ({"register_adapters": registering(type("None_", (sdk.Adapter,), {}))}, "has no purpose"),
        (
            {"register_adapters": registering(type("Wrong", (Odd,), {"needs": sdk.needs("/person/shoe_size")}))},
            "its need /person/shoe_size is not in the referral schema",
        ),
        (
            {"register_adapters": registering(type("Cut", (Odd,), {"needs": sdk.needs("/contact/phone/number")}))},
            "cuts a channel",
        ),
    ],
)
def test_what_does_not_keep_to_the_contract_is_named(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], says: str
) -> None:
    install(monkeypatch, **members)
    with pytest.raises(Misconfigured, match=says):
        plugins.load(Settings(**SETTINGS))  # type: ignore[arg-type]


def test_the_hook_is_pluggys() -> None:
    manager = pluggy.PluginManager(sdk.PROJECT)
    manager.add_hookspecs(sdk.Hooks)
    assert hasattr(manager.hook, "register_adapters")
