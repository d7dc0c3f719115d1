"""The nouns of the project and their JSON form."""
