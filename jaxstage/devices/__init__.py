"""What computes: hosts, their mesh of devices, what these draw, and what is peculiar to CPUs."""
