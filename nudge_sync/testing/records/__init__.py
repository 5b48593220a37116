"""The tests of `nudge_sync.connector.Records`, by what they ask about."""
