"""What pages show that takes longer than a request may: worked out in the background."""
