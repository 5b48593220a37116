"""Where an evaluation takes documents, queries and judgements from."""
