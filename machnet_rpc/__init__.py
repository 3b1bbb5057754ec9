"""Remote calls between Python programs, past the kernel."""
