"""One file a question; every claim about speed in the documentation comes from here."""
