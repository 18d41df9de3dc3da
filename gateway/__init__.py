"""The referral gateway."""
