"""Methods of other people, as baselines: each with settings chosen on the validation queries."""
