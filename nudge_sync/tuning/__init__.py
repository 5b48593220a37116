"""`nudge_sync.finetune`: the solver on arrays and files, without a database."""
