"""HTTP/2, from the preface or from the middle of a connection."""
