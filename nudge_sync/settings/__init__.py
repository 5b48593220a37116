"""Tables of the TOML file that stand in files of their own."""
