"""An exchange in small: matching engine, order gateway over RPC, player of real order flow."""
