-- The catalog of models: loading, rights, dropping.
\set data `echo "$RAG_TEST_DATA"`
\set alphabet :data '/models/alphabet-llama.gguf'
\set bert :data '/models/tiny-bert'
\set path_missing :data '/models/none.gguf'
\set path_folder :data '/models'
\set path_text :data '/models/tiny-bert/vocab.txt'

SELECT rag.load_model('letters', :'alphabet');
SELECT rag.load_model('words', :'data' || '//models///tiny-bert/.', kind => 'embedding', options => '{"max_model_len": 32}');
SELECT name, kind, options, dimensions, architecture, max_model_len, parameters, users FROM rag.model ORDER BY name;
SELECT uri = :'bert' AS cleaned FROM rag.model WHERE name = 'words';

-- what is there already
SELECT rag.load_model('letters', :'alphabet');
SELECT rag.load_model('letters', :'alphabet', if_not_exists => true);
-- the same files under another name
SELECT rag.load_model('letters again', :'alphabet');

-- arguments that make no sense
SELECT rag.load_model('', :'alphabet');
SELECT rag.load_model(repeat('x', 64), :'alphabet');
SELECT rag.load_model('x', 'models/alphabet-llama.gguf');
SELECT rag.load_model('x', 'https://example.com/v1');
SELECT rag.load_model('x', :'alphabet', kind => 'poetry');
SELECT rag.load_model('x', :'alphabet', options => '[1]');
SELECT rag.load_model('x', :'alphabet', options => '{"max_modl_len": 10}');
SELECT rag.load_model('x', :'alphabet', options => '{"max_model_len": -10}');
SELECT rag.load_model('x', :'alphabet', options => '{"dtype": "float8"}');
SELECT rag.load_model(NULL, :'alphabet');
SELECT rag.load_model('x', NULL);
SELECT rag.load_model('x', :'alphabet', options => NULL);

-- files that are no model, or another one (their messages hold paths)
\set VERBOSITY sqlstate
SELECT rag.load_model('x', :'path_missing');
SELECT rag.load_model('x', :'path_folder');
SELECT rag.load_model('x', :'path_text');
SELECT rag.load_model('x', :'alphabet', kind => 'embedding');
\set VERBOSITY default
SELECT count(*) FROM rag.model WHERE name = 'x';

-- a model that is not there, that is of another kind, that nobody named
SELECT embed('a', 'nothing');
SELECT embed('a', 'letters');
SELECT generate('a', 'words');
SELECT embed('a');
SELECT generate('a');
SELECT token_count('a');
SET rag.embedding_model = 'nothing';
SELECT embed('a');
RESET rag.embedding_model;

-- rights
CREATE ROLE regress_rag_user;
CREATE ROLE regress_rag_group;
CREATE ROLE regress_rag_boss IN ROLE rag_admin;
SET ROLE regress_rag_user;
SELECT rag.load_model('mine', :'bert');
SELECT rag.drop_model('words');
SELECT rag.unload_model('words');
SELECT rag.grant_model('words', 'regress_rag_user');
SELECT rag.revoke_model('words', 'regress_rag_user');
SELECT rag.restart_engine();
SELECT count(*) FROM rag.stat_model;
SELECT count(*) FROM rag.stat_activity;
SELECT uri FROM rag.model;
SELECT name, kind FROM rag.model ORDER BY name;
INSERT INTO rag.model VALUES ('mine', '/x', 'embedding', '{}', 3, '{}', 'bert', 10, 10);
SELECT token_count('the cat', 'words');
RESET ROLE;

SELECT rag.grant_model('words', 'regress_rag_nobody');
SELECT rag.grant_model('nothing', 'regress_rag_user');
SELECT rag.grant_model('words', 'regress_rag_user');
SELECT rag.grant_model('words', 'regress_rag_user');
SELECT rag.grant_model('letters', 'regress_rag_group');
SELECT name, users FROM rag.model ORDER BY name;
SET ROLE regress_rag_user;
SELECT token_count('the cat', 'words'), vector_dims(embed('the cat', 'words'));
SELECT token_count('the cat', 'letters');
RESET ROLE;
-- through a group, and for everybody
GRANT regress_rag_group TO regress_rag_user;
SELECT rag.revoke_model('words', 'regress_rag_user');
SELECT rag.grant_model('letters again', 'public');
SET ROLE regress_rag_user;
SELECT token_count('the cat', 'letters'), token_count('the cat', 'letters again');
SELECT token_count('the cat', 'words');
RESET ROLE;

-- an administrator who is no superuser
SET ROLE regress_rag_boss;
SELECT rag.load_model('boss', :'bert');
SELECT token_count('the cat', 'boss');
SELECT count(*) > 0 AS sees FROM rag.stat_model WHERE name = 'boss';
SELECT rag.drop_model('boss');
RESET ROLE;

-- with a hostile search_path
CREATE SCHEMA regress_rag_evil;
CREATE FUNCTION regress_rag_evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR regress_rag_evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_rag_evil.trap);
CREATE TABLE regress_rag_evil.model (name text);
SET search_path = regress_rag_evil, pg_catalog;
SELECT rag.load_model('safe', :'bert');
SELECT rag.grant_model('safe', 'public');
SELECT rag.drop_model('safe');
RESET search_path;
DROP SCHEMA regress_rag_evil CASCADE;

-- unloading frees memory, and the next call loads again
SELECT rag.unload_model('words');
SELECT count(*) FROM rag.stat_model WHERE name = 'words';
SELECT vector_dims(embed('the cat', 'words'));
SELECT state FROM rag.stat_model WHERE name = 'words';
SELECT rag.unload_model('nothing');

-- dropping
SELECT rag.drop_model('nothing');
SELECT rag.drop_model('nothing', if_exists => true);
BEGIN;
SELECT rag.drop_model('words');
SELECT embed('a', 'words');
ROLLBACK;
SELECT vector_dims(embed('a', 'words'));
SELECT rag.drop_model(name) FROM rag.model;
SELECT count(*) FROM rag.model;

-- nothing is left in use
SELECT count(*) FROM rag.stat_activity;
DROP ROLE regress_rag_user, regress_rag_group, regress_rag_boss;
