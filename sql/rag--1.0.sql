-- rag 1.0: in-database RAG for PostgreSQL

\echo Use "CREATE EXTENSION rag" to load this file. \quit

-- What is not for everyday queries: catalog, administration, views. Not IF NOT EXISTS: a schema
-- that somebody else has made would be theirs to fill.
CREATE SCHEMA rag;
COMMENT ON SCHEMA rag IS 'Models, administration and statistics of the extension rag';
GRANT USAGE ON SCHEMA rag TO PUBLIC;

-- The types of vectors. Where extension "vector" has brought them, rag's own functions take and
-- return those; but not pgvector's.
CREATE FUNCTION rag.vector_schema() RETURNS name AS 'MODULE_PATHNAME', 'rag_vector_schema' LANGUAGE C;
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', pg_catalog.quote_ident(pg_catalog.current_schema()),
	pg_catalog.quote_ident(rag.vector_schema()), 'pg_temp'), true);

DO $vector$
BEGIN
	IF rag.vector_schema() IS NOT NULL THEN
		RETURN;
	END IF;

	EXECUTE $objects$
\ir vector.sql
$objects$;
END
$vector$;

DROP FUNCTION rag.vector_schema();

-- ===========================================================================
-- Which of the extensions rag and vector the types belong to
-- ===========================================================================

CREATE FUNCTION rag.settle_vector() RETURNS void
	AS 'MODULE_PATHNAME', 'rag_settle_vector' LANGUAGE C VOLATILE PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION rag.settle_vector() FROM PUBLIC;
COMMENT ON FUNCTION rag.settle_vector() IS
	'Notes which of the extensions "rag" and "vector" has the types, and that the other needs it';

CREATE FUNCTION rag.move_vector(target name) RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
	source name;
	place name;
	member text;
BEGIN
	IF target NOT IN ('rag', 'vector') OR NOT EXISTS (SELECT FROM pg_extension WHERE extname = target) THEN
		RAISE EXCEPTION 'extension "%" cannot have the types of vectors', target
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Either "rag" or "vector" can, where it is created.';
	END IF;
	SELECT e.extname, n.nspname INTO STRICT source, place
	FROM pg_extension e
	JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
		AND d.classid = 'pg_type'::regclass AND d.deptype = 'e'
	JOIN pg_type t ON t.oid = d.objid AND t.typname = 'vector'
	JOIN pg_namespace n ON n.oid = t.typnamespace
	WHERE e.extname IN ('rag', 'vector');
	IF source = target THEN
		RETURN;
	END IF;
	PERFORM set_config('search_path', format('%I, pg_temp', place), true);
	FOREACH member IN ARRAY string_to_array(btrim($members$
\ir vector.sql members
$members$, E'\n'), E'\n')
	LOOP
		EXECUTE format('ALTER EXTENSION %I DROP %s', source, member);
		EXECUTE format('ALTER EXTENSION %I ADD %s', target, member);
	END LOOP;
	PERFORM rag.settle_vector();
END
$function$;
COMMENT ON FUNCTION rag.move_vector(name) IS
	'Gives the types, operators and access methods to extension "rag" or "vector", so that the other can be dropped';

SELECT rag.settle_vector();

-- ===========================================================================
-- The health of hnsw indexes
-- ===========================================================================

CREATE FUNCTION rag.hnsw_check(index regclass, OUT block bigint, OUT item integer, OUT problem text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'rag_hnsw_check' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
REVOKE ALL ON FUNCTION rag.hnsw_check(regclass) FROM PUBLIC;
COMMENT ON FUNCTION rag.hnsw_check(regclass) IS
	'verifies links, reachability, levels, versions and rows of an hnsw index; a row for each thing that is broken';

-- ===========================================================================
-- Text: chunk() and friends
-- ===========================================================================

CREATE FUNCTION chunk(
	input text,
	size integer DEFAULT 512,
	overlap integer DEFAULT 51,
	separators text[] DEFAULT NULL,
	keep_separator text DEFAULT 'start',
	strip_whitespace boolean DEFAULT true,
	OUT ord integer,
	OUT chunk text,
	OUT start_pos integer,
	OUT end_pos integer
) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'rag_chunk' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 20;
COMMENT ON FUNCTION chunk(text, integer, integer, text[], text, boolean) IS
	'split a text into chunks of at most size characters at blank lines, line ends, spaces; the characters before a chunk are start_pos, up to its end end_pos';

CREATE FUNCTION rag.html_to_text(input text) RETURNS text
	AS 'MODULE_PATHNAME', 'rag_html_to_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION rag.html_to_text(text) IS
	'text of an HTML page without scripts, styles and navigation';

-- ===========================================================================
-- Models: catalog, roles, embed(), generate() and friends
-- ===========================================================================

-- Roles are shared by all databases and outlive the extension.
DO $$
BEGIN
	CREATE ROLE rag_admin NOLOGIN;
EXCEPTION
	WHEN duplicate_object OR unique_violation THEN NULL;
END
$$;

CREATE TABLE rag.model (
	name          text COLLATE "C" PRIMARY KEY CHECK (name <> '' AND octet_length(name) < 64),
	uri           text NOT NULL,
	kind          text NOT NULL CHECK (kind IN ('embedding', 'generation', 'rerank')),
	options       jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object'),
	dimensions    int CHECK (dimensions > 0),
	users         text[] NOT NULL DEFAULT '{}',
	architecture  text NOT NULL,
	max_model_len int NOT NULL,
	parameters    bigint NOT NULL
);
COMMENT ON TABLE rag.model IS 'Models of this database, made by rag.load_model()';
COMMENT ON COLUMN rag.model.uri IS 'Absolute path of the model''s file or folder on the server';
COMMENT ON COLUMN rag.model.options IS 'Options that the model is loaded with';
COMMENT ON COLUMN rag.model.dimensions IS 'Dimensions of the vectors that it makes';
COMMENT ON COLUMN rag.model.users IS 'Roles that may use it besides superusers and members of rag_admin; "public" is everybody';
COMMENT ON COLUMN rag.model.max_model_len IS 'Tokens that it can take in and make together';
-- paths are for those who may choose them
GRANT SELECT (name, kind, dimensions, users, architecture, max_model_len, parameters) ON rag.model TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON rag.model TO rag_admin;
SELECT pg_catalog.pg_extension_config_dump('rag.model', '');

CREATE FUNCTION rag.load_model(name text, uri text, kind text = NULL, options jsonb = '{}', if_not_exists boolean = false)
	RETURNS void
	AS 'MODULE_PATHNAME', 'rag_load_model' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION rag.load_model(text, text, text, jsonb, boolean) IS
	'Loads a model from the server''s files and gives it a name in this database';

CREATE FUNCTION rag.unload_model(name text) RETURNS void
	AS 'MODULE_PATHNAME', 'rag_unload_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION rag.unload_model(text) IS
	'Frees a model''s memory; its next use loads it again';

CREATE FUNCTION rag.drop_model(name text, if_exists boolean = false) RETURNS void
	AS 'MODULE_PATHNAME', 'rag_drop_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION rag.drop_model(text, boolean) IS
	'Forgets a model of this database, and frees its memory';

CREATE FUNCTION rag.grant_model(name text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'rag_grant_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION rag.grant_model(text, name) IS
	'Lets a role, or "public", use a model';

CREATE FUNCTION rag.revoke_model(name text, role name) RETURNS void
	AS 'MODULE_PATHNAME', 'rag_revoke_model' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION rag.revoke_model(text, name) IS
	'Takes back what rag.grant_model() gave';

CREATE FUNCTION rag.restart_engine() RETURNS void
	AS 'MODULE_PATHNAME', 'rag_restart_engine' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION rag.restart_engine() IS
	'Ends the model engine, with what it is running, and starts another';

-- Embeddings. The first form follows a setting; the second may feed a generated column or an index.

CREATE FUNCTION embed(input text) RETURNS vector
	AS 'MODULE_PATHNAME', 'rag_embed' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION embed(text) IS
	'Embedding of a text by the model that rag.embedding_model names';

CREATE FUNCTION embed(input text, model text, kind text = NULL, dimensions int = NULL) RETURNS vector
	AS 'MODULE_PATHNAME', 'rag_embed_with' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10000;
COMMENT ON FUNCTION embed(text, text, text, int) IS
	'Embedding of a text, with the model''s prefix for a "query" or a "document", cut to some dimensions';

CREATE FUNCTION embed(inputs text[], model text = NULL, kind text = NULL) RETURNS vector[]
	AS 'MODULE_PATHNAME', 'rag_embed_array' LANGUAGE C STABLE PARALLEL SAFE COST 100000;
COMMENT ON FUNCTION embed(text[], text, text) IS
	'Embeddings of many texts, computed as one batch';

CREATE FUNCTION token_count(input text, model text = NULL) RETURNS int
	AS 'MODULE_PATHNAME', 'rag_token_count' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION token_count(text, text) IS
	'Number of tokens that a text has for a model';

-- Generation

CREATE FUNCTION generate(
		prompt text, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS text
	AS 'MODULE_PATHNAME', 'rag_generate' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION generate(text, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes in answer to a prompt';

CREATE FUNCTION generate(
		messages jsonb, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS text
	AS 'MODULE_PATHNAME', 'rag_generate_messages' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION generate(jsonb, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes to go on with a conversation';

CREATE FUNCTION generate(
		messages json, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS text
	AS 'MODULE_PATHNAME', 'rag_generate_messages' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION generate(json, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes to go on with a conversation';

CREATE FUNCTION generate(
		prompts text[], model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS text[]
	AS 'MODULE_PATHNAME', 'rag_generate_array' LANGUAGE C VOLATILE PARALLEL SAFE COST 1000000;
COMMENT ON FUNCTION generate(text[], text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Texts that a model writes in answer to many prompts, computed as one batch';

CREATE FUNCTION generate_stream(
		prompt text, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'rag_generate_stream' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 100;
COMMENT ON FUNCTION generate_stream(text, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes in answer to a prompt, a row for each piece as it is made';

CREATE FUNCTION generate_stream(
		messages jsonb, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'rag_generate_stream_messages' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 100;
COMMENT ON FUNCTION generate_stream(jsonb, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes to go on with a conversation, a row for each piece as it is made';

CREATE FUNCTION generate_stream(
		messages json, model text = NULL, system text = NULL, max_tokens int = NULL,
		temperature double precision = NULL, top_p double precision = NULL, top_k int = NULL, min_p double precision = NULL,
		seed bigint = NULL, stop text[] = NULL, options jsonb = '{}'
	) RETURNS SETOF text
	AS 'MODULE_PATHNAME', 'rag_generate_stream_messages' LANGUAGE C VOLATILE PARALLEL RESTRICTED COST 1000000 ROWS 100;
COMMENT ON FUNCTION generate_stream(json, text, text, int, double precision, double precision, int, double precision, bigint, text[], jsonb) IS
	'Text that a model writes to go on with a conversation, a row for each piece as it is made';

-- What the models are doing

CREATE FUNCTION rag.stat_get_activity(
		OUT pid int, OUT datid oid, OUT usesysid oid, OUT request text, OUT model text, OUT state text, OUT started timestamptz,
		OUT requests bigint, OUT finished bigint, OUT running bigint, OUT prompt_tokens bigint, OUT cached_tokens bigint,
		OUT generated_tokens bigint, OUT queue_ms double precision, OUT compute_ms double precision)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'rag_stat_get_activity' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 10;
COMMENT ON FUNCTION rag.stat_get_activity() IS 'Calls of models that are running, for rag.stat_activity';

CREATE VIEW rag.stat_activity AS
	SELECT a.pid, d.datname, r.rolname AS usename, a.request, a.model, a.state, a.started, a.requests, a.finished, a.running,
		   a.prompt_tokens, a.cached_tokens, a.generated_tokens, a.queue_ms, a.compute_ms
	FROM rag.stat_get_activity() a
	LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) a.datid
	LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.usesysid;
COMMENT ON VIEW rag.stat_activity IS 'Calls of models that are running on this server';
COMMENT ON COLUMN rag.stat_activity.state IS 'running; waiting for its turn; loading a model; idle: every request is answered';
COMMENT ON COLUMN rag.stat_activity.requests IS 'Requests of the call so far; finished are answered, running the engine has begun';
COMMENT ON COLUMN rag.stat_activity.queue_ms IS 'Time until its requests began, added up';
COMMENT ON COLUMN rag.stat_activity.compute_ms IS 'Time since they began, added up';
GRANT SELECT ON rag.stat_activity TO PUBLIC;

CREATE FUNCTION rag.stat_engine(OUT worker_pid int, OUT engine_pid int)
	AS 'MODULE_PATHNAME', 'rag_stat_engine' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION rag.stat_engine() IS 'Processes of the model worker and of the model engine, null while there is none';

CREATE FUNCTION rag.engine_statistics() RETURNS jsonb
	AS 'MODULE_PATHNAME', 'rag_engine_statistics' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION rag.engine_statistics() IS 'What the model engine says of itself and of the models in its memory';
REVOKE EXECUTE ON FUNCTION rag.engine_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag.engine_statistics() TO rag_admin, pg_read_all_stats;

CREATE FUNCTION rag.latency_quantile(counts bigint[], q double precision) RETURNS double precision
	AS 'MODULE_PATHNAME', 'rag_latency_quantile' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION rag.latency_quantile(bigint[], double precision) IS
	'Milliseconds below which a part of a histogram of rag.stat_model lies; its bounds are 1, 2, 5, 10 ... 50000 ms';

CREATE FUNCTION rag.stat_reset() RETURNS void
	AS 'MODULE_PATHNAME', 'rag_stat_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION rag.stat_reset() IS 'Lets the counts of rag.stat_model and rag.stat_role begin anew';
REVOKE EXECUTE ON FUNCTION rag.stat_reset() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rag.stat_reset() TO rag_admin;

CREATE VIEW rag.stat_model AS
	SELECT m.name, s.kind, s.architecture, s.state,
		   pg_catalog.round((100 OPERATOR(pg_catalog.*) s.loaded_bytes) OPERATOR(pg_catalog./)
							NULLIF(s.load_bytes, 0), 1) AS loaded_percent,
		   s.memory_bytes, s.running, s.waiting, s.requests,
		   s.prompt_tokens, s.generated_tokens, s.embedded_tokens, s.tokens_per_second, s.steps,
		   pg_catalog.round(s.batched_sequences OPERATOR(pg_catalog./) NULLIF(s.steps, 0), 2) AS batch_size,
		   s.preemptions, s.kv_blocks, s.kv_blocks_used,
		   s.kv_block_tokens, s.prefix_hit_tokens, s.prefix_query_tokens,
		   pg_catalog.round(s.prefix_hit_tokens OPERATOR(pg_catalog./) NULLIF(s.prefix_query_tokens, 0), 4) AS prefix_hit_rate,
		   s.drafted_tokens, s.accepted_tokens, s.compute_us,
		   rag.latency_quantile(s.first_token, 0.5) AS first_token_p50_ms,
		   rag.latency_quantile(s.first_token, 0.99) AS first_token_p99_ms,
		   rag.latency_quantile(s.token, 0.5) AS token_p50_ms, rag.latency_quantile(s.token, 0.99) AS token_p99_ms,
		   s.first_token AS first_token_histogram, s.token AS token_histogram, s.uri, s.options
	FROM pg_catalog.jsonb_to_recordset(rag.engine_statistics() OPERATOR(pg_catalog.->) 'models') AS s(
		uri text, options text, kind text, architecture text, state text, load_bytes numeric, loaded_bytes numeric,
		memory_bytes bigint, running bigint, waiting bigint,
		requests bigint, prompt_tokens bigint, generated_tokens bigint, embedded_tokens bigint, tokens_per_second double precision,
		steps numeric, batched_sequences numeric, preemptions bigint, kv_blocks bigint, kv_blocks_used bigint, kv_block_tokens bigint,
		prefix_hit_tokens numeric, prefix_query_tokens numeric, drafted_tokens bigint, accepted_tokens bigint, compute_us bigint,
		first_token bigint[], token bigint[])
	LEFT JOIN rag.model m ON m.uri OPERATOR(pg_catalog.=) s.uri
		AND m.options::pg_catalog.text OPERATOR(pg_catalog.=) s.options;
COMMENT ON VIEW rag.stat_model IS 'Models in the engine''s memory; without a name if this database does not have them, or not yet';
COMMENT ON COLUMN rag.stat_model.loaded_percent IS 'How much of it has been read, while state is "loading"';
COMMENT ON COLUMN rag.stat_model.prompt_tokens IS 'Tokens of prompts that were computed; prefix_hit_tokens were in the cache already';
COMMENT ON COLUMN rag.stat_model.tokens_per_second IS 'Tokens generated, or embedded, in the last ten seconds';
COMMENT ON COLUMN rag.stat_model.batch_size IS 'Sequences of a step, on average';
COMMENT ON COLUMN rag.stat_model.drafted_tokens IS 'Guesses at the next tokens; accepted_tokens of them were right';
COMMENT ON COLUMN rag.stat_model.first_token_histogram IS 'Requests by the time to their first token, for rag.latency_quantile()';
COMMENT ON COLUMN rag.stat_model.token_histogram IS 'Tokens by the time from the one before, for rag.latency_quantile()';
GRANT SELECT ON rag.stat_model TO rag_admin, pg_read_all_stats;

CREATE VIEW rag.stat_role AS
	SELECT r.rolname AS usename, s.waiting, s.running, s.held_tokens, s.requests, s.prompt_tokens, s.cached_tokens,
		   s.generated_tokens, s.queue_us OPERATOR(pg_catalog./) 1000 AS queue_ms,
		   s.compute_us OPERATOR(pg_catalog./) 1000 AS compute_ms
	FROM pg_catalog.jsonb_to_recordset(rag.engine_statistics() OPERATOR(pg_catalog.->) 'roles') AS s(
		role pg_catalog.oid, waiting bigint, running bigint, held_tokens bigint, requests bigint, prompt_tokens bigint,
		cached_tokens bigint, generated_tokens bigint, queue_us double precision, compute_us double precision)
	LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) s.role;
COMMENT ON VIEW rag.stat_role IS 'What each role has asked of models, and what it holds of them; the role is the one that a session logged in as';
COMMENT ON COLUMN rag.stat_role.held_tokens IS 'Tokens of its running requests, which rag.role_max_tokens limits';
GRANT SELECT ON rag.stat_role TO rag_admin, pg_read_all_stats;
