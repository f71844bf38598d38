"""Market data: Backpack's prices, from its websocket (or a simulator of it) to the market updates topic."""
