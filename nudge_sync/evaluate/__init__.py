"""How much moving documents helps, measured on queries that nothing was chosen by."""
