"""What a person types: the command line, params.yaml read into the stages' settings, and where artefacts lie."""
