"""The rule book: values in, values out. No clock, no socket, no table."""
