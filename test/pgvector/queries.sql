-- What the application reads: the same answers before and after its database is moved.
\pset pager off
SET enable_indexscan = off;
SELECT md5(string_agg(ROW(id, topic, v, h, s, b, round(norm::numeric, 9))::text, ',' ORDER BY id)) FROM app.item i;
SELECT md5(string_agg(md5(vector_send(v) || halfvec_send(h) || sparsevec_send(s)), '' ORDER BY id)) FROM app.item;
SELECT md5(string_agg(id || ' ' || v::text, ',' ORDER BY id)) FROM app.part;
SELECT md5(string_agg(id || ' ' || v::text, ',' ORDER BY id)) FROM app.unlogged;
SELECT md5(string_agg(t::text, ',' ORDER BY t.e)) FROM app.typed t;
SELECT md5(string_agg(id || v::text, ',' ORDER BY id)), sum(vector_norm(v)) FROM app.wide;
SELECT count(*), round(sum(distance)::numeric, 3) FROM app.near;
SELECT topic, center, total FROM app.topics ORDER BY topic;
SELECT app.search(app.numbers(7)::vector, 5);
SELECT app.mean(v) = avg(v), count(*) FILTER (WHERE v OPERATOR(app.===) '[1,1,1,1,1,1,1,1,1,1,1,1]') FROM app.item;
SELECT id FROM app.item WHERE v >= app.numbers(5)::vector ORDER BY v, id LIMIT 5;
SELECT id, round((v <-> app.numbers(3)::vector)::numeric, 4), round((v <#> app.numbers(3)::vector)::numeric, 4),
	round((v <=> app.numbers(3)::vector)::numeric, 4), round((v <+> app.numbers(3)::vector)::numeric, 4),
	round((h <-> app.numbers(3)::vector::halfvec)::numeric, 3), round((s <+> app.numbers(3)::vector::sparsevec)::numeric, 4),
	b <~> '101010101010', round((b <%> '101010101010')::numeric, 4)
FROM app.item ORDER BY v <-> app.numbers(3)::vector, id LIMIT 10;
SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'app' ORDER BY 1;
SELECT pg_get_viewdef('app.near'::regclass), pg_get_functiondef('app.search(vector, int)'::regprocedure);
SELECT attname, format_type(atttypid, atttypmod), attstorage FROM pg_attribute
WHERE attrelid IN ('app.item'::regclass, 'app.typed'::regclass, 'app.wide'::regclass) AND attnum > 0 ORDER BY attrelid::regclass::text, attnum;
