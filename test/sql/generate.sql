-- generate() and generate_stream() with a real, tiny model whose greedy text can be told beforehand:
-- after a letter or digit comes the next one, after z, Z and 9 the end, after all else an "a".
\set data `echo "$RAG_TEST_DATA"`
\set alphabet :data '/models/alphabet-llama.gguf'
SELECT rag.load_model('letters', :'alphabet');
SET rag.generation_model = 'letters';
SET rag.temperature = 0;

SELECT generate('Hello?');
SELECT generate('Hello?', 'letters', system => 'Say the alphabet.');
SELECT generate('[{"role": "system", "content": "x"}, {"role": "user", "content": "y"}, {"role": "assistant", "content": "z"}, {"role": "user", "content": "!"}]'::jsonb);
SELECT generate('[{"role": "user", "content": "y"}]'::json, system => 'x');
SELECT generate('[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]'::jsonb, max_tokens => 2);
SELECT generate('m', options => '{"raw": true}'), generate('5', options => '{"raw": true}'), generate('(', max_tokens => 4, options => '{"raw": true}');
SELECT generate(ARRAY['b', NULL, 'X', '7', 'z'], options => '{"raw": true}');
SELECT generate('{}'::text[]), generate(ARRAY[NULL]::text[]);
SELECT generate(NULL::text) IS NULL AS a, generate(NULL::jsonb) IS NULL AS b, generate(NULL::json) IS NULL AS c, generate(NULL::text[]) IS NULL AS d;
SELECT length(generate('')) AS empty_prompt;

-- limits and stop strings
SELECT generate('x', max_tokens => 1), generate('x', max_tokens => 5);
SET rag.max_tokens = 7;
SELECT generate('x'), generate('x', max_tokens => 8);
RESET rag.max_tokens;
SELECT generate('x', stop => '{k}'), generate('x', stop => '{xyz,hij}'), generate('x', stop => '{nothing}'), generate('x', stop => '{}');
SELECT generate('x', stop => ARRAY['']);
SELECT generate('x', stop => ARRAY[NULL]);
SELECT generate('x', stop => array_fill('s'::text, ARRAY[17]));

-- seeds
SELECT generate('x', temperature => 1.5, seed => 1) = generate('x', temperature => 1.5, seed => 1) AS same,
	   generate('x', temperature => 1.5, seed => 1) = generate('x', temperature => 1.5, seed => 2) AS other_seed,
	   generate('x', temperature => 1.5, seed => -1) IS NULL AS negative;
SELECT count(DISTINCT generate('x', temperature => 2)) AS random_seeds FROM generate_series(1, 5);
SELECT count(DISTINCT generate('x', temperature => 2, seed => 7)) AS one_seed FROM generate_series(1, 5);
-- near to greedy however hot
SELECT generate('x', temperature => 5, seed => 3, top_k => 1) AS top_k,
	   generate('x', temperature => 1, seed => 3, top_p => 0.01) AS top_p,
	   generate('x', temperature => 1, seed => 3, min_p => 1) AS min_p;
SELECT generate('x', options => '{"repetition_penalty": 1.2, "presence_penalty": 0.1, "frequency_penalty": -0.1, "priority": -5}');
-- many at once get what each gets alone
SELECT generate(ps, temperature => 1.5, seed => 11, options => '{"raw": true}') = ARRAY(
	SELECT generate(p, temperature => 1.5, seed => 11, options => '{"raw": true}') FROM unnest(ps) WITH ORDINALITY AS u(p, n) ORDER BY n) AS batch_is_alone
FROM (SELECT ARRAY(SELECT repeat('words and ', i) || chr(96 + i) FROM generate_series(1, 24) i) AS ps) t;

-- arguments out of range
SELECT generate('x', max_tokens => 0);
SELECT generate('x', temperature => -0.1);
SELECT generate('x', temperature => 'NaN');
SELECT generate('x', top_p => 0);
SELECT generate('x', top_p => 1.1);
SELECT generate('x', top_k => -1);
SELECT generate('x', min_p => 2);
SELECT generate('x', options => '{"repetition_penalty": 0}');
SELECT generate('x', options => '{"repetition_penalty": "high"}');
SELECT generate('x', options => '{"priority": 1.5}');
SELECT generate('x', options => '{"raw": 1}');
SELECT generate('x', options => '{"temprature": 1}');
SELECT generate('x', options => '{"raw": {"a": [1, 2]}}');
SELECT generate('x', options => '[]');
SELECT generate('x', system => 'y', options => '{"raw": true}');

-- conversations that are none
SELECT generate('[]'::jsonb);
SELECT generate('{"role": "user", "content": "x"}'::jsonb);
SELECT generate('"x"'::jsonb);
SELECT generate('[1]'::jsonb);
SELECT generate('[{"role": "user"}]'::jsonb);
SELECT generate('[{"role": "user", "content": "x", "name": "y"}]'::jsonb);
SELECT generate('[{"role": "pirate", "content": "x"}]'::jsonb);
SELECT generate('[{"role": 1, "content": "x"}]'::jsonb);
SELECT generate('[{"role": "user", "content": 1}]'::jsonb);
SELECT generate('[{"role": "user", "content": {"text": "x"}}]'::jsonb);
SELECT generate('[{"role": "user", "content": [{"type": "image_url"}]}]'::jsonb);
SELECT generate(ARRAY[['a'], ['b']]);

-- which form a call means
SELECT pg_typeof(generate('x', max_tokens => 1)), pg_typeof(generate(ARRAY['x'], max_tokens => 1)),
	   pg_typeof(generate(NULL)), pg_typeof(generate('[{"role": "user", "content": "x"}]'::json, max_tokens => 1));
PREPARE ask AS SELECT generate($1, max_tokens => 3);
EXECUTE ask('x');

-- longer than the model
SELECT generate(repeat('word ', 1000));
SELECT generate(repeat('word ', 2000000));
SELECT generate('x', system => repeat('word ', 2000000));
SELECT token_count(repeat('word ', 2000000));
SELECT length(generate(repeat('w ', 200), max_tokens => 1000)) <= 512 AS to_the_limit;

-- text that is not ASCII
SELECT generate('größer 漢字 😀', max_tokens => 3);

-- streams: a row per piece, as many as are wanted
SELECT generate_stream('w', options => '{"raw": true}');
SELECT string_agg(piece, '|') FROM generate_stream('v', options => '{"raw": true}') piece;
SELECT generate_stream('x') LIMIT 2;
SELECT generate_stream('[{"role": "user", "content": "x"}]'::jsonb, stop => '{d}');
SELECT generate_stream('[{"role": "user", "content": "x"}]'::json, max_tokens => 2);
SELECT count(*) FROM (SELECT generate_stream(NULL::text)) s;
SELECT n, generate_stream(chr(117 + n), options => '{"raw": true}') FROM generate_series(1, 3) n;
SELECT generate_stream('w', options => '{"raw": true}'), generate_stream('x', options => '{"raw": true}');
BEGIN;
DECLARE pieces CURSOR FOR SELECT generate_stream('x');
FETCH 3 FROM pieces;
SELECT generate('x', max_tokens => 3);
FETCH 2 FROM pieces;
SELECT count(*) FROM rag.stat_activity;
CLOSE pieces;
SELECT count(*) FROM rag.stat_activity;
-- a cursor that outlives its transaction has been read to its end
DECLARE held CURSOR WITH HOLD FOR SELECT generate_stream('u', options => '{"raw": true}');
FETCH 1 FROM held;
COMMIT;
FETCH 2 FROM held;
CLOSE held;
-- in PL/pgSQL, left early, in a subtransaction that aborts
DO $$
DECLARE
	piece text;
	told text := '';
BEGIN
	FOR piece IN SELECT generate_stream('x') LOOP
		told := told || piece;
		EXIT WHEN piece = 'e';
	END LOOP;
	RAISE NOTICE '%', told;
	BEGIN
		FOR piece IN SELECT generate_stream('x') LOOP
			PERFORM 1 / (ascii(piece) - 100);
		END LOOP;
	EXCEPTION WHEN division_by_zero THEN
		RAISE NOTICE 'stopped at %', piece;
	END;
	RAISE NOTICE 'open: %', (SELECT count(*) FROM rag.stat_activity);
END
$$;
-- what was left running is cancelled, soon
DO $$
BEGIN
	FOR i IN 1 .. 200 LOOP
		EXIT WHEN (SELECT running + waiting = 0 FROM rag.stat_model WHERE name = 'letters');
		PERFORM pg_sleep(0.05);
	END LOOP;
END
$$;
SELECT name, running, waiting, kv_blocks_used FROM rag.stat_model WHERE name = 'letters';

-- cheap conditions come first
CREATE TABLE tickets (id int, body text);
INSERT INTO tickets SELECT i, 'body' FROM generate_series(1, 100) i;
EXPLAIN (COSTS OFF) SELECT id FROM tickets WHERE generate(body) = 'x' AND id = 7;
SELECT id, generate(body, max_tokens => 2) FROM tickets WHERE generate(body) LIKE 'abc%' AND id = 7;
DROP TABLE tickets;
SELECT count(*) FROM rag.stat_activity;
SELECT rag.drop_model(name) FROM rag.model;
