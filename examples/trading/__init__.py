"""An exchange in small: a matching engine, an order gateway over RPC, a player of real order flow."""
