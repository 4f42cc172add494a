"""tlstap: the plaintext of TLS traffic of any process, by eBPF uprobes on its TLS library."""
