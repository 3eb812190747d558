"""fanin: ask many, decide once, keep the evidence."""
