"""Finds ELF images that contain a TLS library, and which processes map them."""
