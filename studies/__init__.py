"""Studies: what a search can reach and what it does reach, every figure from a command that prints it."""
