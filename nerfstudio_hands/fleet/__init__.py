"""Many captures: a plan of steps, a ledger of what became of them, and engines that run them side by side."""
