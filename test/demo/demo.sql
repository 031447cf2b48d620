-- demo.sql: from a folder of HTML pages to an answer that rests on them.
--
-- psql variables: docs (folder of pages), question, embed and model (files of the two models).
-- test/demo/demo runs this on a private server; every statement works on any server with rag.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\timing off

\echo '== The models'
CREATE EXTENSION rag;
-- a chunk of 512 characters may have more tokens than the model takes: then its end does not count
SELECT rag.load_model('embedder', :'embed', options => '{"overflow": "truncate"}') \g /dev/null
SELECT rag.load_model('writer', :'model') \g /dev/null
SET rag.embedding_model = 'embedder';
SET rag.generation_model = 'writer';
SELECT name, kind, architecture, dimensions, max_model_len FROM rag.model ORDER BY name;
SELECT dimensions FROM rag.model WHERE name = 'embedder' \gset

CREATE TABLE docs (source text PRIMARY KEY, body text NOT NULL);
CREATE TABLE pieces (source text NOT NULL, ord int NOT NULL, chunk text NOT NULL);
CREATE TABLE chunks (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text NOT NULL,
    chunk     text NOT NULL,
    embedding vector(:dimensions) NOT NULL
);

\set QUIET off
\timing on
\echo '== 1. Load the pages as text'
INSERT INTO docs
SELECT file, rag.html_to_text(pg_read_file(:'docs' || '/' || file))
FROM pg_ls_dir(:'docs') file
WHERE file LIKE '%.html';

\echo '== 2. Split them into chunks of at most 512 characters, overlapping by at most 51'
INSERT INTO pieces
SELECT source, c.ord, c.chunk
FROM docs, chunk(body, 512, 51) c;

\echo '== 3. Embed the chunks'
INSERT INTO chunks (source, chunk, embedding)
SELECT source, chunk, embed(chunk)
FROM pieces;

\echo '== 4. Index the embeddings'
CREATE INDEX chunks_embedding ON chunks USING hnsw (embedding vector_cosine_ops);
ANALYZE chunks;

\echo '== 5. Search for what is nearest to the question'
CREATE TEMPORARY TABLE hits AS
SELECT row_number() OVER (ORDER BY distance) AS rank, source, chunk, distance
FROM (SELECT source, chunk, embedding <=> (SELECT embed(:'question')) AS distance
      FROM chunks
      ORDER BY embedding <=> (SELECT embed(:'question'))
      LIMIT 5) nearest;
\set QUIET on
\timing off
SELECT rank, round(distance::numeric, 3) AS distance, source,
       left(regexp_replace(chunk, '\s+', ' ', 'g'), 72) || ' ...' AS chunk
FROM hits
ORDER BY rank;

\echo '== 6. Generate the answer from the two best, the best one last'
SELECT 'Context: ' || string_agg(chunk, E'\n\n' ORDER BY rank DESC)
       || E'\n\nQuestion: ' || :'question' || E'\nAnswer:' AS prompt,
       string_agg(DISTINCT source, ', ') AS sources
FROM hits
WHERE rank <= 2 \gset

\echo
\echo 'Question:' :question
\pset tuples_only on
\pset format unaligned
\pset recordsep ''
\set FETCH_COUNT 1
SELECT generate_stream(:'prompt',
                       system => 'Answer the question in one or two sentences, using only the context.',
                       temperature => 0.2, top_p => 0.95, seed => 415, max_tokens => 128);
\unset FETCH_COUNT
\echo
\echo 'Sources:' :sources
