"""What an operator hangs beside the product: the running daemon, and the tools that look at it."""
