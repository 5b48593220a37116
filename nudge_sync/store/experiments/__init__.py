"""What is stored of an experiment: which one runs, and the vectors of a candidate."""
