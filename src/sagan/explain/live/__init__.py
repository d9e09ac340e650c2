"""The live page: its server, and the run that it renders images of."""
