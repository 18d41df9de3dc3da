"""The strong room: the only SQL.

A function that takes a ``Tx`` runs inside its caller's transaction; nothing here commits by itself.
"""
