"""What the tests that use real probes share: servers, programs, other OpenSSL versions, the tracer."""
