"""Protocol decoders: from byte streams to messages. One module a protocol."""
