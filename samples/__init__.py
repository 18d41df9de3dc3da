"""Synthetic referrals, and the demo that sends them."""
