"""One module for each page: the routes that show it."""
