"""The adapter keeps the contract."""

from gateway_housing import Housing
from gateway_sdk.testing import AdapterConformance


class TestHousing(AdapterConformance):
    adapter = Housing
