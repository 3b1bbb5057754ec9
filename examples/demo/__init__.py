"""Two hosts on one machine: a key–value store and an exchange on one, clients on the other."""
