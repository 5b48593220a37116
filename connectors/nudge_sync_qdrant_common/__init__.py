"""What holds for every Qdrant engine, server or embedded; imports no client."""
