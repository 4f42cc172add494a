"""What HTTP/1 and HTTP/2 have in common: bodies and their codings."""
