"""gRPC and gRPC-Web: the messages in their bodies, decoded with a schema or without."""
