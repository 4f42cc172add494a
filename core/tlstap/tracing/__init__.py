"""From probe points to records: the plan, the BPF program, the kernel's facts, the engine, the ring."""
