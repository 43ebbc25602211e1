"""The Transformers backend of localai: an OpenAI-compatible service over torch and transformers."""
