"""One file (or one folder of the same name) per system; the folder listing is the registry."""
