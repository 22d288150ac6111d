"""What every command needs once: command line, errors, files, devices, processes."""
