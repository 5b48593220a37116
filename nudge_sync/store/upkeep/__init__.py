"""Looking after what is stored: counted, proven to be restorable, rid of what is spare."""
