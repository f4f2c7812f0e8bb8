"""The stages that make a model, each one command with one recipe."""
