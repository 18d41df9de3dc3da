"""Faults, injected into a running gateway under load, and an account of what came of every referral.

``make faults`` runs all of them and prints the account as a table; see ``scenarios.py`` for how one is written.
"""
