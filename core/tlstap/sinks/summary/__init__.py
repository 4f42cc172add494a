"""The summary: a line for each exchange."""
