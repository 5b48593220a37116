"""The command line: `nudge-sync VERB`. Each verb imports what it needs when it runs."""
