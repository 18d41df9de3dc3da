"""The adapter keeps the contract."""

from gateway_sdk.testing import AdapterConformance
from gateway_social_security import SocialSecurity


class TestSocialSecurity(AdapterConformance):
    adapter = SocialSecurity
