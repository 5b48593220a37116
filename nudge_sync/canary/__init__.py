"""The life of a canary and of the holdback after it: started, reviewed, promoted or ended."""
