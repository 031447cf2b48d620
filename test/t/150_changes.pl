# Model calls while what they stand on changes: the extension, the catalog, the role of the server.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $node = RagServe->make('main', init => { allows_streaming => 1 }, conf => [ 'max_connections = 40', 'rag.max_channels = 8' ]);

# Starts calls that get no answer.
sub hang
{
	my ($on, $count, %option) = @_;
	my @calls = map { RagServe->call($on, q{SELECT generate('hang')}, %option) } 1 .. $count;
	RagServe->wait_calls($on, $count);
	return @calls;
}

# -- the extension is dropped and made again while a call runs
$node->safe_psql('postgres', 'CREATE DATABASE other');
RagServe->make_models($node, 'other');
my ($call) = hang($node, 1, database => 'other');
my $idle = $node->background_psql('other');
is($idle->query_safe(q{SELECT generate('before')}), 'before', 'a session that has made a call');
$node->safe_psql('other', 'DROP EXTENSION rag CASCADE');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM rag.stat_activity');
like((RagServe->result($call))[1], qr/ERROR:  57014/, 'DROP EXTENSION beside a call, which can still be cancelled');
RagServe->wait_calls($node, 0);
RagServe->make_models($node, 'other');
is($idle->query_safe(q{SELECT generate('after')}), 'after', 'the same session, with the extension made again');
$idle->quit;

# -- a model is dropped, and its name given to another one, while calls of it run
$node->safe_psql('postgres', q{SELECT rag.load_model('passing', '/models/passing')});
my $sleeping = RagServe->call($node, q{SELECT generate('sleep 700', 'passing')});
RagServe->wait_calls($node, 1);
$node->safe_psql('postgres', q{SELECT rag.drop_model('passing'); SELECT rag.load_model('passing', '/models/other')});
is((RagServe->result($sleeping))[0], 'sleep 700', 'a call ends well though its model was dropped');
is($node->safe_psql('postgres', q{SELECT generate('new', 'passing')}), 'new', 'its name stands for another model');
($call) = map { RagServe->call($node, q{SELECT generate('hang', 'passing')}) } 1;
RagServe->wait_calls($node, 1);
$node->safe_psql('postgres', q{SELECT rag.unload_model('passing')});
$node->safe_psql('postgres', 'SELECT pg_terminate_backend(pid) FROM rag.stat_activity');
like((RagServe->result($call))[1], qr/FATAL:  57P01/, 'a call whose model is unloaded can be terminated');
RagServe->wait_calls($node, 0);

# -- more sessions than channels: each is served
my @calls = map { RagServe->call($node, "SELECT generate('sleep 30') || '$_'") } 1 .. 24;
is(join(' ', map { (RagServe->result($_))[0] } @calls), join(' ', map { "sleep 30$_" } 1 .. 24), '24 sessions share 8 channels');

# -- plans: kept ones, and those of parallel workers
$node->safe_psql('postgres', q{CREATE TABLE t AS SELECT i, repeat('x', i % 9 + 1) AS body FROM generate_series(1, 300) i});
my $lengths = $node->safe_psql('postgres', q{SELECT sum(length(body)) FROM t});
my $parallel = $node->safe_psql('postgres', 'SHOW server_version_num') >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';
is($node->safe_psql('postgres', qq{SET $parallel = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SELECT sum((embed(body)::real[])[1]) FROM t}), $lengths, 'embed() in a parallel plan');
is($node->safe_psql('postgres', q{SET plan_cache_mode = force_generic_plan;
	PREPARE ask (text) AS SELECT generate($1), (embed($1)::real[])[1];
	EXECUTE ask('one'); EXECUTE ask('seven')}), "one|3\nseven|5", 'a generic plan');
is($node->safe_psql('postgres', q{BEGIN; SAVEPOINT a; SELECT generate('x'); ROLLBACK TO a; SELECT generate('y'); COMMIT}), "x\ny",
	'a savepoint that is rolled back');
is($node->safe_psql('postgres', q{
	CREATE FUNCTION twice(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN generate(generate(t) || '!'); END $$;
	CREATE TABLE log (line text); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN NEW.body := generate(NEW.body || '?'); RETURN NEW; END $$;
	CREATE TRIGGER note BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION note();
	INSERT INTO t VALUES (1000, twice('z')) RETURNING body}), 'z!?', 'calls in a function, in a trigger');

# -- promotion of a standby, and an immediate stop, while calls run
my $standby = RagNode->make_standby('standby', $node);
$node->wait_for_catchup($standby);
$sleeping = RagServe->call($standby, q{SELECT generate('sleep 1500')});
RagServe->wait_calls($standby, 1);
$standby->promote;
is((RagServe->result($sleeping))[0], 'sleep 1500', 'a call on a standby goes on while it is promoted');
@calls = hang($standby, 4);
my $engine = RagServe->engine_pid($standby);
$standby->stop('immediate');
is(scalar(grep { (RagServe->result($_))[1] =~ /server closed the connection|57P02/ } @calls), 4, 'an immediate stop ends four calls');
ok(RagServe->gone($engine), '... and the engine');
$standby->start;
is($standby->safe_psql('postgres', q{SELECT generate('again')}), 'again', '... and the server starts again');
$standby->stop;

$node->stop;
done_testing();
