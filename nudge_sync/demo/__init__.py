"""`nudge-sync demo`: a whole cycle on real data, and its rollback, in a throw-away database."""
