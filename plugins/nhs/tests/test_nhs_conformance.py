"""The adapter keeps the contract."""

from gateway_nhs import Nhs
from gateway_sdk.testing import AdapterConformance


class TestNhs(AdapterConformance):
    adapter = Nhs
