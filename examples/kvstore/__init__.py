"""An ordered key–value store over RPC, with the loads by which such stores are compared."""
