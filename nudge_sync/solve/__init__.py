"""Arrays in, arrays out: where judged points should go. No I/O, no logging, no clock."""
