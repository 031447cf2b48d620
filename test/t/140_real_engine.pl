# rag-engine itself behind the worker: many sessions, SIGKILL, preloading, dumps, encodings.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $data = $ENV{RAG_TEST_DATA} || "$FindBin::RealBin/../data";
my $alphabet = "$data/models/alphabet-llama.gguf";
my $bert = "$data/models/tiny-bert";
my $node = RagNode->make('main', preload => 1, conf => [ "rag.preload_models = '$bert'", 'rag.threads = 2' ]);
my (@calls, @errors);
my $postmaster = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

ok($node->wait_for_log(qr/model 1 of rag.preload_models is loaded/), 'a preloaded model');
$node->safe_psql('postgres', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('bert', '$bert'), rag.load_model('letters', '$alphabet', options => '{"max_num_seqs": 8}');
	ALTER DATABASE postgres SET rag.embedding_model = 'bert';
	ALTER DATABASE postgres SET rag.generation_model = 'letters'});
is($node->safe_psql('postgres', q{SELECT name, state FROM rag.stat_model ORDER BY name}),
	"bert|ready\nletters|ready", 'a preloaded model is the same as the one loaded by name');

# -- one name, two sessions at once
@calls = map { RagServe->call($node, qq{SELECT rag.load_model('twice', '$bert', options => '{"max_model_len": 6$_}')}) } 1 .. 2;
@errors = grep { $_ ne '' } map { (RagServe->result($_))[1] } @calls;
is(scalar(@errors), 1, 'of two sessions that load a name, one succeeds');
like($errors[0], qr/ERROR:  42710: model "twice" already exists/, '... and the other is told');

# -- eight sessions at once, each gets what it gets alone
sub asking
{
	my ($i) = @_;
	my $temperature = $i % 2 ? 1.3 : 0;
	return "SELECT md5(string_agg(generate('Question ' || n || repeat(' about it', $i), temperature => $temperature, seed => $i)"
	  . " || embed('the cat ' || n)::text, '')) FROM generate_series(1, 40) n";
}
my @alone = map { $node->safe_psql('postgres', asking($_)) } 1 .. 8;
@calls = map { RagServe->call($node, asking($_)) } 1 .. 8;
my @together = map { (RagServe->result($_))[0] } @calls;
is("@together", "@alone", 'eight sessions at once get exactly what each gets alone');

# -- SIGKILL while eight sessions are at it
my $long = q{SELECT count(generate(array_fill('x'::text, ARRAY[200]), temperature => 2)) FROM generate_series(1, 1000)};
my $engine = RagServe->engine_pid($node);
@calls = map { RagServe->call($node, $long) } 1 .. 8;
RagServe->wait_calls($node, 8);
RagServe->kill_engine($node);
@errors = map { (RagServe->result($_))[1] } @calls;
is(scalar(grep { /ERROR:  58000: the model engine ended while the request was running/ } @errors), 8,
	'SIGKILL during eight calls: a clear error each');
is($node->safe_psql('postgres', asking(1)), $alone[0], 'the next call works, with the same answer');
isnt(RagServe->engine_pid($node), $engine, '... of another engine');
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $postmaster, 'the server was not restarted');
RagServe->wait_calls($node, 0);

# -- cancelled calls free the model
$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
foreach my $statement ($long, q{SELECT count(embed(array_fill('the cat'::text, ARRAY[20000]))) FROM generate_series(1, 1000)})
{
	my $call = RagServe->call($node, "SET statement_timeout = '500ms'; $statement");
	like((RagServe->result($call))[1], qr/ERROR:  57014/, 'a call that is cancelled');
}
ok(RagServe->poll($node, q{SELECT sum(running + waiting + kv_blocks_used) FROM rag.stat_model}, 0),
	'... leaves nothing running and no KV block in use');

# -- and so do those whose client is gone, if the server looks after it (since PostgreSQL 14)
SKIP:
{
	skip 'no client_connection_check_interval', 2
	  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'client_connection_check_interval'}) == 0;
	my $call = RagServe->call($node, "SET client_connection_check_interval = '100ms'; $long");
	ok(RagServe->poll($node, q{SELECT sum(kv_blocks_used) > 0 FROM rag.stat_model}, 't'), 'a call with blocks');
	$call->{handle}->signal('KILL');
	RagServe->result($call);
	ok(RagServe->poll($node, q{SELECT sum(running + waiting + kv_blocks_used) FROM rag.stat_model}, 0), 'a client that is killed leaves none');
	RagServe->wait_calls($node, 0);
}

# -- thousands of small answers that race with their reader, left in the middle
my $race = q{SET statement_timeout = '120s';
	DO $$
	DECLARE piece text;
	BEGIN
		FOR i IN 1 .. 1000 LOOP
			BEGIN
				FOR piece IN SELECT generate_stream('x') LOOP
					PERFORM 1 / (ascii(piece) - 97 - i % 24);
				END LOOP;
			EXCEPTION WHEN division_by_zero THEN NULL;
			END;
		END LOOP;
	END $$; SELECT 'done'};
@calls = map { RagServe->call($node, $race) } 1 .. 4;
is(join(' ', map { (RagServe->result($_))[0] } @calls), 'done done done done', 'four times a thousand streams left early');

# -- what a database's models are is dumped
my ($dump) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my $file = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
append_to_file($file, $dump);
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $file ], 'dump and restore');
is($node->safe_psql('restored', 'SELECT name, options FROM rag.model WHERE name <> $$twice$$ ORDER BY name'),
	qq(bert|{}\nletters|{"max_num_seqs": 8}), 'restored models');
is($node->safe_psql('restored', q{SELECT embed('the cat', 'bert') = (embed(ARRAY['the cat'], 'bert'))[1]}),
	't', '... work');

# -- another encoding than UTF8
$node->safe_psql('postgres', q{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'});
my $utf8 = $node->safe_psql('postgres', q{SELECT embed('größe für öl', 'bert')::text || token_count('größe', 'letters')});
$node->safe_psql('latin', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('bert', '$bert'), rag.load_model('letters', '$alphabet')});
is($node->safe_psql('latin', q{SET client_encoding = 'UTF8';
		SELECT embed('größe für öl', 'bert')::text || token_count('größe', 'letters')}),
	$utf8, 'a LATIN1 database gives the model the same text');
is($node->safe_psql('latin', q{SELECT generate('grün', 'letters', temperature => 0, max_tokens => 3)}), 'abc',
	'... and gets its answer');

# a database that does not know its encoding: what is UTF-8 passes, other bytes are an error
$node->safe_psql('postgres', q{CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'});
$node->safe_psql('ascii', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('bert', '$bert'), rag.load_model('letters', '$alphabet')});
is($node->safe_psql('ascii', q{SELECT embed('größe für öl', 'bert')::text || token_count('größe', 'letters')}),
	$utf8, 'an SQL_ASCII database with UTF-8 in it');
foreach my $call (q{embed(E'gr\xfcn', 'bert')}, q{generate(E'gr\xfcn', 'letters')}, q{token_count(E'gr\xfcn', 'letters')},
	q{generate('x', 'letters', stop => ARRAY[E'\xfc'])}, q{generate('x', 'letters', system => E'\xfc')})
{
	my ($code, $out, $err) = $node->psql('ascii', "SELECT $call");
	like($err, qr/ERROR:  invalid byte sequence for encoding "UTF8": 0xfc/, "invalid UTF-8: $call");
}
RagServe->wait_calls($node, 0);

# -- without being preloaded
my $plain = RagNode->make('plain');
$plain->safe_psql('postgres', 'CREATE EXTENSION rag');
is($plain->safe_psql('postgres', q{SELECT '[1,2]'::vector <-> '[1,4]', count(*) FROM chunk('some text')}), '2|1',
	'without preloading, vectors and chunk() work');
$plain->safe_psql('postgres', q{INSERT INTO rag.model VALUES ('m', '/m', 'embedding', '{}', 3, '{}', 'bert', 10, 10),
	('g', '/g', 'generation', '{}', NULL, '{}', 'llama', 10, 10)});
foreach my $call ("embed('x', 'm')", "embed(ARRAY['x'], 'm')", "generate('x', 'g')", "generate_stream('x', 'g')",
	"token_count('x', 'm')", "rag.load_model('x', '$bert')", "rag.unload_model('m')", 'rag.restart_engine()',
	'rag.engine_statistics()', 'rag.stat_engine()')
{
	my ($code, $out, $err) = $plain->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	like($err, qr/ERROR:  55000: models can be used only if rag is loaded at server start.*HINT:  Add rag to shared_preload_libraries/s,
		"without preloading, $call says what to set");
}
is($plain->safe_psql('postgres', 'SELECT count(*) FROM rag.stat_activity'), 0, '... and rag.stat_activity is empty');
is($plain->safe_psql('postgres', q{LOAD 'rag'; SET rag.temperature = 0.5; SHOW rag.temperature}), '0.5',
	'... and the settings are there');
$plain->stop;

$node->stop;
done_testing();
