-- A database that an application has on pgvector: every type, index class and kind of object that depends on them.
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
CREATE SCHEMA app;
CREATE TABLE app.item (
	id int PRIMARY KEY,
	topic int NOT NULL,
	v vector(12) NOT NULL DEFAULT '[1,1,1,1,1,1,1,1,1,1,1,1]',
	h halfvec(12),
	s sparsevec(12),
	b bit(12),
	norm float8 GENERATED ALWAYS AS (vector_norm(v)) STORED,
	CHECK (vector_dims(v) = 12)
);
-- the same numbers on every machine
CREATE FUNCTION app.numbers(seed int) RETURNS float4[] IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
	SELECT array_agg((('x' || substr(md5(seed || '/' || k), 1, 6))::bit(24)::int % 2001 - 1000)::float4 / 1000 ORDER BY k)
	FROM generate_series(1, 12) k
$$;
INSERT INTO app.item
SELECT i, i % 10, n::vector, n::vector::halfvec, n::vector::sparsevec, binary_quantize(n::vector)::bit(12)
FROM generate_series(1, 600) i, app.numbers(i) n;
INSERT INTO app.item (id, topic) VALUES (1001, 1), (1002, 2);
UPDATE app.item SET h = NULL WHERE id % 97 = 0;

CREATE INDEX v_hnsw_l2 ON app.item USING hnsw (v vector_l2_ops);
CREATE INDEX v_hnsw_ip ON app.item USING hnsw (v vector_ip_ops) WITH (m = 8, ef_construction = 40);
CREATE INDEX v_hnsw_cosine ON app.item USING hnsw (v vector_cosine_ops);
CREATE INDEX v_hnsw_l1 ON app.item USING hnsw (v vector_l1_ops) WHERE topic = 3;
CREATE INDEX h_hnsw_l2 ON app.item USING hnsw (h halfvec_l2_ops);
CREATE INDEX h_hnsw_ip ON app.item USING hnsw (h halfvec_ip_ops);
CREATE INDEX h_hnsw_cosine ON app.item USING hnsw (h halfvec_cosine_ops);
CREATE INDEX h_hnsw_l1 ON app.item USING hnsw (h halfvec_l1_ops);
CREATE INDEX s_hnsw_l2 ON app.item USING hnsw (s sparsevec_l2_ops);
CREATE INDEX s_hnsw_ip ON app.item USING hnsw (s sparsevec_ip_ops);
CREATE INDEX s_hnsw_cosine ON app.item USING hnsw (s sparsevec_cosine_ops);
CREATE INDEX s_hnsw_l1 ON app.item USING hnsw (s sparsevec_l1_ops);
CREATE INDEX b_hnsw_hamming ON app.item USING hnsw (b bit_hamming_ops);
CREATE INDEX b_hnsw_jaccard ON app.item USING hnsw (b bit_jaccard_ops);
CREATE INDEX expression_hnsw ON app.item USING hnsw ((v::halfvec(12)) halfvec_l2_ops);
CREATE INDEX quantized_hnsw ON app.item USING hnsw ((binary_quantize(v)::bit(12)) bit_hamming_ops);
CREATE INDEX v_ivf_l2 ON app.item USING ivfflat (v) WITH (lists = 4);
CREATE INDEX v_ivf_ip ON app.item USING ivfflat (v vector_ip_ops) WITH (lists = 4);
CREATE INDEX v_ivf_cosine ON app.item USING ivfflat (v vector_cosine_ops) WITH (lists = 4);
CREATE INDEX h_ivf_l2 ON app.item USING ivfflat (h halfvec_l2_ops) WITH (lists = 4);
CREATE INDEX h_ivf_ip ON app.item USING ivfflat (h halfvec_ip_ops) WITH (lists = 4);
CREATE INDEX h_ivf_cosine ON app.item USING ivfflat (h halfvec_cosine_ops) WITH (lists = 4);
CREATE INDEX b_ivf_hamming ON app.item USING ivfflat (b bit_hamming_ops) WITH (lists = 4);
CREATE UNIQUE INDEX v_btree ON app.item (v, id);

CREATE TABLE app.part (id int, v vector(12)) PARTITION BY RANGE (id);
CREATE TABLE app.part_low PARTITION OF app.part FOR VALUES FROM (0) TO (100);
CREATE TABLE app.part_high PARTITION OF app.part FOR VALUES FROM (100) TO (1000);
CREATE INDEX part_hnsw ON app.part USING hnsw (v vector_cosine_ops);
INSERT INTO app.part SELECT id, v FROM app.item WHERE id < 1000;

CREATE UNLOGGED TABLE app.unlogged AS SELECT id, v FROM app.item;
CREATE INDEX unlogged_hnsw ON app.unlogged USING hnsw (v vector_l2_ops);

CREATE DOMAIN app.embedding AS vector(12) CHECK (vector_norm(VALUE) > 0);
CREATE TYPE app.pair AS (a vector(12), b halfvec);
CREATE TABLE app.typed (e app.embedding, p app.pair, list vector[], ranges sparsevec(12)[]);
INSERT INTO app.typed SELECT v, ROW(v, h)::app.pair, ARRAY[v, v * v], ARRAY[s] FROM app.item WHERE id < 20;
-- out of line, as pgvector stores what is long
CREATE TABLE app.wide (id int, v vector(3000));
INSERT INTO app.wide SELECT i, (SELECT array_agg(i + k % 7) FROM generate_series(1, 3000) k)::vector FROM generate_series(1, 5) i;

CREATE VIEW app.near AS
	SELECT a.id, b.id AS other, a.v <-> b.v AS distance, avg(b.h) OVER (PARTITION BY a.id) AS mean
	FROM app.item a JOIN app.item b ON a.id + 1 = b.id;
CREATE MATERIALIZED VIEW app.topics AS SELECT topic, avg(v) AS center, sum(h) AS total FROM app.item GROUP BY topic;
CREATE FUNCTION app.search(q vector, k int) RETURNS SETOF int STABLE LANGUAGE sql
BEGIN ATOMIC
	SELECT id FROM app.item ORDER BY v <=> q, id LIMIT k;
END;
CREATE AGGREGATE app.mean(vector) (SFUNC = vector_accum, STYPE = float8[], FINALFUNC = vector_avg, COMBINEFUNC = vector_combine, INITCOND = '{0}');
CREATE OPERATOR app.=== (LEFTARG = vector, RIGHTARG = vector, FUNCTION = vector_eq);
CREATE STATISTICS app.statistics ON topic, (vector_dims(v)) FROM app.item;
ANALYZE;
