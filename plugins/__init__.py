"""The TLS libraries that tlstap knows by itself, one package each."""
