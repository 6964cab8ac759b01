"""Behaviour without input or output: generators that yield intents (see `effects`)."""
