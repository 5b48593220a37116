"""From what people did to judgements of documents."""
