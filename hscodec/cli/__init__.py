"""The command line: one module per verb, loaded when it is used. Modules load torch inside functions only."""
