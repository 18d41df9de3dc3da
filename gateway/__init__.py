"""The referral gateway: consent-checked referrals from hubs to agencies."""

__version__ = "0.1.0"
