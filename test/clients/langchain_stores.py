"""The two vector stores of langchain-postgres."""
import os

import psycopg
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from data import DIMENSIONS, QUERY, TOPICS, VECTORS, check, cosine, nearest, run

URL = f"postgresql+psycopg://postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}"


class Known(Embeddings):
    """The vector of "text N" is the Nth; of anything else the query's."""

    def embed_documents(self, texts):
        return [VECTORS[int(t.split()[1])] for t in texts]

    def embed_query(self, text):
        return QUERY


def documents():
    return [Document(page_content=f"text {i}", metadata={"topic": topic, "number": i}) for i, topic in enumerate(TOPICS)]


def numbers(found):
    return [int(d.page_content.split()[1]) for d in found]


def pgvector_store():
    from langchain_postgres import PGVector

    store = PGVector(embeddings=Known(), collection_name="docs", connection=URL, use_jsonb=True,
                     embedding_length=DIMENSIONS)
    store.add_documents(documents(), ids=[str(i) for i in range(len(VECTORS))])
    # it makes no index itself
    with psycopg.connect(host=os.environ["PGHOST"], user="postgres", dbname=os.environ["PGDATABASE"]) as db:
        db.execute("CREATE INDEX ON langchain_pg_embedding USING hnsw (embedding vector_cosine_ops)")
    check(numbers(store.similarity_search("question", k=5)) == nearest(cosine), "PGVector: create, insert, index, search")
    found = store.similarity_search("question", k=5, filter={"topic": {"$eq": "odd"}})
    check(numbers(found) == nearest(cosine, "odd"), "PGVector: search with a filter")
    found = store.max_marginal_relevance_search("question", k=3)
    check(len(found) == 3, "PGVector: maximal marginal relevance")


def pgvectorstore():
    from langchain_postgres import Column, PGEngine, PGVectorStore
    from langchain_postgres.v2.indexes import HNSWIndex

    engine = PGEngine.from_connection_string(url=URL)
    engine.init_vectorstore_table(table_name="store", vector_size=DIMENSIONS, id_column=Column("id", "text"),
                                  metadata_columns=[Column("topic", "text")])
    store = PGVectorStore.create_sync(engine=engine, table_name="store", embedding_service=Known(), id_column="id",
                                      metadata_columns=["topic"])
    store.add_documents(documents(), ids=[str(i) for i in range(len(VECTORS))])
    store.apply_vector_index(HNSWIndex(name="store_hnsw", m=16, ef_construction=64))
    check(store.is_valid_index("store_hnsw"), "PGVectorStore: create, insert, index")
    check(numbers(store.similarity_search("question", k=5)) == nearest(cosine), "PGVectorStore: search")
    found = store.similarity_search("question", k=5, filter={"topic": "even"})
    check(numbers(found) == nearest(cosine, "even"), "PGVectorStore: search with a filter")
    store.delete(ids=[str(nearest(cosine)[0])])
    check(numbers(store.similarity_search("question", k=4)) == nearest(cosine)[1:], "PGVectorStore: delete")


run(pgvector_store, pgvectorstore)
