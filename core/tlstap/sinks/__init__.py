"""Output formats. One module a format."""
