"""What a picture shows: a module per genre composes it on an easel."""
