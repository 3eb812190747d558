"""The built-in backends, each in its own module, found by entry point."""
