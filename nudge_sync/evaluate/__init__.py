"""How much moving documents helps, measured on queries that nothing was trained on or chosen by."""
