"""What people look at: progress and tables on the console, metrics in files."""
