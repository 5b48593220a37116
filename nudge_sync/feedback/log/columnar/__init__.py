"""The application's log as a table: files or a database that DuckDB reads, column by column."""
