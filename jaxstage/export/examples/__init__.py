"""What an export's folder gets as example.py: one file a format, copied as it is."""
