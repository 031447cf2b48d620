-- embed() and token_count() with a real, tiny model.
\set data `echo "$RAG_TEST_DATA"`
\set bert :data '/models/tiny-bert'
SELECT rag.load_model('bert', :'bert');
SET rag.embedding_model = 'bert';

-- shape: the model's dimensions, of unit length, finite
SELECT vector_dims(embed('the cat')), round(vector_norm(embed('the cat'))::numeric, 5) AS norm;
-- equal texts, equal vectors, in every form and order
SELECT embed('the cat') = embed('the cat', 'bert') AS named,
	   embed('the cat') = (embed(ARRAY['the dog', 'the cat', 'a fish']))[2] AS in_a_batch,
	   embed('the cat') = embed(E'The  CAT\n') AS normalised_by_the_tokenizer,
	   embed('the cat') = embed('the dog') AS another;
SELECT bool_and(v = embed(x)) AS each_as_alone
FROM (SELECT ARRAY(SELECT repeat('the cat and ', n) FROM generate_series(1, 12) n) AS xs) a,
	 unnest(xs, embed(xs)) AS t(x, v);

-- NULL and empty
SELECT embed(NULL::text) IS NULL AS a, embed(NULL, 'bert') IS NULL AS b, embed(NULL::text[]) IS NULL AS c,
	   token_count(NULL) IS NULL AS d, embed('') IS NULL AS e;
SELECT embed('', NULL);
SELECT embed('') = (embed(ARRAY['']))[1] AS empty_text;
SELECT embed(ARRAY[NULL, 'the cat', NULL, 'the dog']) = ARRAY[NULL, embed('the cat'), NULL, embed('the dog')] AS in_place;
SELECT embed('{}'::text[]), embed(ARRAY[NULL, NULL]::text[]);
SELECT embed(ARRAY[['a', 'b'], ['c', 'd']]);

-- kinds: the prefixes of the model's options
SELECT rag.load_model('prefixed', :'bert', options => '{"query_prefix": "what is: ", "document_prefix": "text: "}');
SELECT embed('the cat', 'prefixed', 'query') = embed('what is: the cat', 'bert') AS query,
	   embed('the cat', 'prefixed', kind => 'document') = embed('text: the cat', 'bert') AS document,
	   embed('the cat', 'prefixed') = embed('the cat', 'bert') AS plain,
	   embed('the cat', 'bert', 'query') = embed('the cat', 'bert') AS without_prefixes,
	   embed(ARRAY['the cat'], 'prefixed', 'query') = ARRAY[embed('the cat', 'prefixed', 'query')] AS batch;
SELECT embed('the cat', 'bert', 'question');
SELECT embed(ARRAY['the cat'], 'bert', 'question');

-- fewer dimensions
SELECT vector_dims(embed('the cat', 'bert', dimensions => 8)) AS dims,
	   round(vector_norm(embed('the cat', 'bert', dimensions => 8))::numeric, 5) AS norm,
	   round((embed('the cat', 'bert', dimensions => 8) <=> subvector(embed('the cat'), 1, 8))::numeric, 5) AS distance;
SELECT embed('the cat', 'bert', dimensions => 0);
SELECT embed('the cat', 'bert', dimensions => 33);
SELECT vector_dims(embed('the cat', 'bert', dimensions => 32));
SELECT embed('the cat')::vector(3);

-- more tokens than the model takes: an error, or cut if the model was loaded so
SELECT token_count('the cat'), token_count(repeat('the ', 100));
SELECT embed(repeat('the ', 100));
SELECT embed(ARRAY['short', repeat('the ', 100)]);
SELECT rag.load_model('cut', :'bert', options => '{"overflow": "truncate"}');
SELECT embed(repeat('the ', 100), 'cut') = embed(repeat('the ', 62), 'bert') AS cut;
SELECT embed(repeat('the cat sat on the mat. ', 400000));
SELECT vector_dims(embed(repeat('the cat sat on the mat. ', 400000), 'cut'));

-- any text
SELECT vector_dims(embed(x)) FROM unnest(ARRAY['zzz', E'\t\n', 'äöü ß 漢字 😀', '[CLS] [SEP]', repeat('x', 5000)]) x;

-- the last results are remembered: a sequential scan asks the engine once
CREATE TABLE pages (id int, body text, embedding vector(32));
INSERT INTO pages SELECT i, 'the cat ' || i, embed('the cat ' || i) FROM generate_series(1, 200) i;
SELECT requests AS before FROM rag.stat_model WHERE name = 'bert' \gset
SELECT count(*) FROM pages WHERE embedding <=> embed('a question about cats') < 2;
SELECT requests - :before AS requests FROM rag.stat_model WHERE name = 'bert';
-- not across another engine or after unloading
SELECT rag.unload_model('bert');
SELECT count(*) FROM pages WHERE embedding <=> embed('a question about cats') < 2;
SELECT requests FROM rag.stat_model WHERE name = 'bert';

-- immutable where the model is named: generated columns, index expressions
CREATE TABLE notes (body text, embedding vector(32) GENERATED ALWAYS AS (embed(body, 'bert', 'document')) STORED);
INSERT INTO notes VALUES ('red fish'), ('blue bird'), (NULL);
SELECT body, embedding = embed(body, 'bert', 'document') AS same FROM notes ORDER BY body;
CREATE INDEX ON notes USING hnsw (embedding vector_cosine_ops);
CREATE INDEX ON notes USING hnsw ((embed(body, 'bert')::vector(32)) vector_cosine_ops);
UPDATE notes SET body = 'green bird' WHERE body = 'blue bird';
SELECT body FROM notes WHERE body IS NOT NULL ORDER BY embedding <=> embed('green bird') LIMIT 1;
SELECT provolatile, proparallel, proisstrict, oidvectortypes(proargtypes) FROM pg_proc WHERE proname = 'embed' ORDER BY 4;

-- the index is used
CREATE INDEX ON pages USING hnsw (embedding vector_cosine_ops);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM pages ORDER BY embedding <=> embed('the cat 7') LIMIT 1;
SELECT id FROM pages ORDER BY embedding <=> embed('the cat 7') LIMIT 1;
RESET enable_seqscan;

-- in parallel workers
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM pages WHERE embedding = embed(body);
SELECT count(*) FROM pages WHERE embedding = embed(body);
RESET ALL;

DROP TABLE pages, notes;
SELECT rag.drop_model(name) FROM rag.model;
