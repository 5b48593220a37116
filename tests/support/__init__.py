"""What several tests share: collections to try things on, processes to kill, stand-in models."""
