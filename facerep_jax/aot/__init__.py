"""The command that compiles training for devices that are not there."""
