"""What becomes of money when a process dies, the power fails, or a disk is full or broken."""
