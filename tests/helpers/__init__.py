"""What tests share: made-up hands, rigs, captures and files, and commands without a process of their own."""
