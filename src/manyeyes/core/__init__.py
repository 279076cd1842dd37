"""The nouns that cross rooms: messages, media, tokens, samples, seeds, run folders. Imports no torch, no other room."""
