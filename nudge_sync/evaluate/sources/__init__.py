"""Where an evaluation takes its documents, queries and judgements from."""
