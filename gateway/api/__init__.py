"""The front door: HTTP in, HTTP out. It decides nothing."""
