"""Indexes in databases: LanceDB for what outgrows memory, PostgreSQL with pgvector for what many machines share."""
