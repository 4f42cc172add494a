"""Text for people: what happens, as it happens."""
