"""What every command needs of the machine and of whoever started it."""
