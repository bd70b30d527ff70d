"""The versioned triple store: schema, edits, reading at any version, bulk loading, snapshots and pictures."""
