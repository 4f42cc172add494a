"""From data records to byte streams with every gap known."""
