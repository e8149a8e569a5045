"""Speed measurements, most against peers: python -m benchmarks.NAME [flags]; each says at its top what it measures."""
