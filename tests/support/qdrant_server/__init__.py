"""Real Qdrant servers for tests, started from the binary that QDRANT_BINARY names.

`node.QdrantNode` is one process on free ports, with TLS, keys and tokens where they are wanted;
`cluster.QdrantCluster` is three of them, which a test kills, starts again, and replaces by empty
ones. `address.find_or_start_qdrant` gives a test whichever server there is.
"""
