# Limits of roles, priority, the bounded queue, and 200 sessions at once, with rag-engine itself.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $data = $ENV{RAG_TEST_DATA} || "$FindBin::RealBin/../data";
my $node = RagNode->make('main', preload => 1,
	conf => [ 'rag.threads = 2', 'rag.max_channels = 256', 'max_connections = 230' ]);

$node->safe_psql('postgres', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('llama', '$data/models/tiny-llama.gguf', options => '{"max_num_seqs": 16}');
	ALTER DATABASE postgres SET rag.generation_model = 'llama';
	CREATE ROLE guest LOGIN;
	CREATE ROLE other LOGIN;
	SELECT rag.grant_model('llama', 'public')});

sub sql_error
{
	my ($role, $sql) = @_;
	my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql", extra_params => [ '-U', $role ]);
	return $err;
}

sub running { return $node->safe_psql('postgres', q{SELECT running FROM rag.stat_model WHERE name = 'llama'}); }

# -- what a role may have is not its own to change
$node->safe_psql('postgres', 'ALTER ROLE guest SET rag.role_max_requests = 1; ALTER ROLE guest SET rag.role_max_tokens = 2000');
is($node->safe_psql('postgres', 'SHOW rag.role_max_requests', extra_params => [ '-U', 'guest' ]), 1, 'a role has its limits');
foreach my $sql ('SET rag.role_max_requests = 5', 'SET rag.role_max_tokens = 0', 'ALTER ROLE guest SET rag.role_max_requests = 5',
	'RESET rag.role_max_requests', q{SELECT set_config('rag.role_max_tokens', '0', false)})
{
	like(sql_error('guest', $sql), qr/ERROR:  42501/, "and cannot change them: $sql");
}
like(sql_error('guest', 'SET rag.priority = -21'), qr/ERROR:  22023.*outside the valid range/, 'priority has a range');
is($node->safe_psql('postgres', q{SET rag.priority = -20; SELECT length(generate('x', max_tokens => 3, temperature => 0)) > 0},
		extra_params => [ '-U', 'guest' ]), 't', 'a role of one request at a time has one');

# -- its requests run one at a time, whoever's sessions they are in; another role goes ahead meanwhile
my $long = q{SELECT count(generate(array_fill('x'::text, ARRAY[2000]), max_tokens => 300, temperature => 0))};
my @calls = map { RagServe->call($node, "SET SESSION AUTHORIZATION guest; SET rag.role_max_requests = DEFAULT; $long") } 1;
like((RagServe->result($calls[0]))[1], qr/ERROR:  42501/, 'nor after SET SESSION AUTHORIZATION');
@calls = map { RagServe->call($node, "SET rag.role_max_requests = 1; SET SESSION AUTHORIZATION guest; $long") } 1 .. 3;
RagServe->wait_calls($node, 3);
ok(RagServe->poll($node, q{SELECT running FROM rag.stat_model WHERE name = 'llama'}, 1), 'three sessions of a role: one request runs');
my @seen = map { running() } 1 .. 20;
is(scalar(grep { $_ > 1 } @seen), 0, '... and never more');
is($node->safe_psql('postgres', q{SELECT length(generate('x', max_tokens => 3, temperature => 0)) > 0}, extra_params => [ '-U', 'other' ]),
	't', 'a call of another role does not wait for them');
is($node->safe_psql('postgres', q{SELECT count(*) FROM rag.stat_activity}), 3, '... which are still at it');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM rag.stat_activity');
RagServe->result($_) for @calls;
ok(RagServe->poll($node, q{SELECT running + waiting + kv_blocks_used FROM rag.stat_model}, 0), 'canceled: nothing is left of them');

# -- 200 sessions at once: each gets its own answers
$node->safe_psql('postgres', q{
	CREATE TABLE answer AS SELECT n, 'Question ' || n AS prompt FROM generate_series(1, 60) n;
	ALTER TABLE answer ADD said text;
	UPDATE answer SET said = generate(prompt, max_tokens => 2 + n % 11, temperature => n % 2, seed => n);
	GRANT SELECT ON answer TO PUBLIC});
my $script = PostgreSQL::Test::Utils::tempdir() . '/session.sql';
append_to_file($script, q{\set n random(1, 60)
SELECT 1 / (generate(prompt, max_tokens => 2 + n % 11, temperature => n % 2, seed => n) = said)::int FROM answer WHERE n = :n;
});
my $engine = RagServe->engine_pid($node);
sub resident { my ($pages) = slurp_file("/proc/$engine/statm") =~ /^\d+ (\d+)/; return $pages * 4; }
sub sessions
{
	my ($count, $each) = @_;
	my ($out, $err) = ('', '');
	my $good = IPC::Run::run([ 'pgbench', '-n', '-c', $count, '-j', 2, '-t', $each, '-f', $script, '-d', $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	my ($done) = $out =~ /transactions actually processed: (\d+)/;
	note($err) unless $good;
	return $good ? $done : 0;
}
is(sessions(200, 2), 400, '200 sessions: no answer is lost, none is another\'s');
my $before = resident();
is(sessions(200, 3), 600, '... and again') for 2 .. 6;
cmp_ok(resident(), '<', $before + 16384, '... and the engine has grown by no more than 16 MB');
is($node->safe_psql('postgres', 'SELECT running + waiting + kv_blocks_used FROM rag.stat_model'), 0, 'nothing is left of them');
RagServe->wait_calls($node, 0);

# -- the queue has an end
$node->append_conf('postgresql.conf', "rag.max_queue = 8\n");
$node->reload;
is($node->safe_psql('postgres', 'SELECT rag.restart_engine()'), '', 'another engine');
ok(RagServe->poll($node, "SELECT engine_pid <> $engine FROM rag.stat_engine()", 't'), '... is there');
$node->safe_psql('postgres', q{SELECT generate('x', max_tokens => 1)});
like(sql_error($node->safe_psql('postgres', 'SELECT current_user'), q{SELECT generate(array_fill('x'::text, ARRAY[200]), max_tokens => 50)}),
	qr/ERROR:  53400: \d+ requests (of the role )?wait for the model engine already.*HINT:  Try again later, or raise rag.max_queue/s, 'a full queue says so');
is($node->safe_psql('postgres', q{SELECT length(generate('x', max_tokens => 3, temperature => 0)) > 0}), 't', 'and the next call works');

$node->stop;
done_testing();
