"""The vision-language model: encoder, connector, language model, and the contract that binds them."""
