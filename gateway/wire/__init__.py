"""The street door: the only sockets to agencies."""
