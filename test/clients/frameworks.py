"""The vector stores of llama-index and Haystack."""
import os

from data import DIMENSIONS, QUERY, TOPICS, VECTORS, check, cosine, nearest, run


def llama_index():
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters, VectorStoreQuery
    from llama_index.vector_stores.postgres import PGVectorStore

    place = f"postgres@/{os.environ['PGDATABASE']}?host={os.environ['PGHOST']}"
    store = PGVectorStore.from_params(
        connection_string=f"postgresql+psycopg2://{place}", async_connection_string=f"postgresql+asyncpg://{place}",
        table_name="llama_index", embed_dim=DIMENSIONS,
        hnsw_kwargs=dict(hnsw_m=16, hnsw_ef_construction=64, hnsw_ef_search=100, hnsw_dist_method="vector_cosine_ops"))
    store.add([TextNode(id_=str(i), text=f"text {i}", embedding=v, metadata={"topic": TOPICS[i]})
               for i, v in enumerate(VECTORS)])
    found = store.query(VectorStoreQuery(query_embedding=QUERY, similarity_top_k=5))
    check([int(i) for i in found.ids] == nearest(cosine), "llama-index: create, insert, index, search")
    filters = MetadataFilters(filters=[MetadataFilter(key="topic", value="odd")])
    found = store.query(VectorStoreQuery(query_embedding=QUERY, similarity_top_k=5, filters=filters))
    check([int(i) for i in found.ids] == nearest(cosine, "odd"), "llama-index: search with a filter")
    store.delete_nodes(node_ids=[str(nearest(cosine)[0])])
    found = store.query(VectorStoreQuery(query_embedding=QUERY, similarity_top_k=4))
    check([int(i) for i in found.ids] == nearest(cosine)[1:], "llama-index: delete")


def haystack():
    from haystack import Document
    from haystack.utils import Secret
    from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
    from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore

    store = PgvectorDocumentStore(
        connection_string=Secret.from_token(f"host={os.environ['PGHOST']} user=postgres dbname={os.environ['PGDATABASE']}"),
        table_name="haystack", embedding_dimension=DIMENSIONS, vector_function="cosine_similarity",
        search_strategy="hnsw", hnsw_index_creation_kwargs={"m": 16, "ef_construction": 64}, hnsw_ef_search=100,
        recreate_table=True)
    written = store.write_documents([Document(id=str(i), content=f"text {i}", embedding=v, meta={"topic": TOPICS[i]})
                                     for i, v in enumerate(VECTORS)])
    check(written == len(VECTORS), "Haystack: create, insert, index")
    retriever = PgvectorEmbeddingRetriever(document_store=store, top_k=5)
    found = retriever.run(query_embedding=QUERY)["documents"]
    check([int(d.id) for d in found] == nearest(cosine), "Haystack: search")
    found = retriever.run(query_embedding=QUERY,
                          filters={"field": "meta.topic", "operator": "==", "value": "even"})["documents"]
    check([int(d.id) for d in found] == nearest(cosine, "even"), "Haystack: search with a filter")


run(llama_index, haystack)
