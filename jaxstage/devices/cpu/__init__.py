"""What CPUs need to be fast under XLA; the results stay the same."""
