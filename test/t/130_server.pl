# Worker and engine block nothing of the server, and run on a hot standby.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $node = RagServe->make('main', init => { allows_streaming => 1 },
	conf => ['restart_after_crash = on']);

is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'rag model worker' AND datname IS NULL AND pid = (SELECT worker_pid FROM rag.stat_engine())}),
	1, 'the worker is in pg_stat_activity, in no database');

# -- while a call runs that nobody answers: each of these would wait for it forever
$node->safe_psql('postgres', 'CREATE DATABASE other');
RagServe->make_models($node, 'other');
my $call = RagServe->call($node, q{SELECT generate('hang')});
RagServe->wait_calls($node, 1);
foreach my $statement ('DROP DATABASE other', 'CHECKPOINT', 'CREATE DATABASE other TEMPLATE template0')
{
	$node->safe_psql('postgres', $statement);
	is($node->safe_psql('postgres', 'SELECT count(*) FROM rag.stat_activity'), 1, "$statement beside a call");
}
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM rag.stat_activity');
like((RagServe->result($call))[1], qr/ERROR:  57014/, 'and the call is cancelled');

# DROP DATABASE ... FORCE ends a call that runs there
RagServe->make_models($node, 'other');
$call = RagServe->call($node, q{SELECT generate('hang')}, database => 'other');
RagServe->wait_calls($node, 1);
$node->safe_psql('postgres', 'DROP DATABASE other WITH (FORCE)');
like((RagServe->result($call))[1], qr/FATAL:  57P01/, 'DROP DATABASE WITH (FORCE): its call was terminated');
RagServe->wait_calls($node, 0);

# -- settings of the engine
my $engine = RagServe->engine_pid($node);
$node->append_conf('postgresql.conf', q|rag.preload_models = '/models/one, /models/two {"max_model_len": 100}, relative, /x {'|);
my $offset = -s $node->logfile;
$node->reload;
ok($node->wait_for_log(qr/model 2 of rag.preload_models is loaded: fake model/, $offset), 'preloaded models are loaded on reload');
my $log = slurp_file($node->logfile, $offset);
like($log, qr/model 1 of rag.preload_models is loaded/, '... each of them');
like($log, qr/WARNING:  item 3 of rag.preload_models is ignored/, 'a relative path is ignored, and said so');
like($log, qr/WARNING:  item 4 of rag.preload_models is ignored/, 'so are broken options');
is(RagServe->engine_pid($node), $engine, 'a reload keeps the engine');
$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
ok(RagServe->poll($node, "SELECT engine_pid <> $engine FROM rag.stat_engine()", 't'), 'rag.restart_engine() does not');

# -- a hot standby
my $standby = RagNode->make_standby('standby', $node);
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT pg_is_in_recovery(), generate('here'), embed('ab')}), 't|here|[2,97,1]',
	'models work on a hot standby');
my ($code, $out, $err) = $standby->psql('postgres', q{SELECT rag.load_model('x', '/models/x')});
like($err, qr/cannot execute rag.load_model\(\) in a read-only transaction/, 'but none is loaded there');
$call = RagServe->call($standby, q{SELECT generate('hang')});
RagServe->wait_calls($standby, 1);
RagServe->kill_engine($standby);
like((RagServe->result($call))[1], qr/ERROR:  58000: the model engine ended/, 'an engine that dies on the standby');
is($standby->safe_psql('postgres', q{SELECT generate('again')}), 'again', '... and the next');
$standby->promote;
is($standby->safe_psql('postgres', q{SELECT generate('after')}), 'after', 'and after its promotion');
$standby->stop;

# -- crash of another process: the server restarts, with it the worker and its engine
$engine = RagServe->engine_pid($node);
my $victim = RagServe->call($node, 'SELECT pg_sleep(100)');
RagServe->poll($node, q{SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)' AND pid <> pg_backend_pid()}, 1);
kill 'KILL', $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)'});
RagServe->result($victim);
for (1 .. 100)
{
	last if ($node->psql('postgres', 'SELECT 1'))[0] == 0;
	select undef, undef, undef, 0.1;
}
is($node->safe_psql('postgres', q{SELECT generate('back')}), 'back', "after another process' crash");
ok(RagServe->gone($engine), '... with a new engine');

# -- shutdown, while a call runs
$engine = RagServe->engine_pid($node);
$call = RagServe->call($node, q{SELECT generate('hang')});
RagServe->wait_calls($node, 1);
$node->stop('fast');
like((RagServe->result($call))[1], qr/FATAL:  57P01/, 'a fast shutdown ends the call');
ok(RagServe->gone($engine), '... and the engine');

done_testing();
