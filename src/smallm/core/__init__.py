"""The house: configuration, run directories, file formats, errors, console, hardware."""
