"""The models that a command takes: files, folders, and what a function of yours makes."""
