# What can be seen of the models at work: activity, statistics, slow requests; the watch over the engine.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $data = $ENV{RAG_TEST_DATA} || "$FindBin::RealBin/../data";
my $node = RagNode->make('main', preload => 1, conf => [ 'rag.threads = 2' ]);
$node->safe_psql('postgres', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('llama', '$data/models/tiny-llama.gguf', options => '{"max_num_seqs": 2}'),
		rag.load_model('bert', '$data/models/tiny-bert');
	ALTER DATABASE postgres SET rag.generation_model = 'llama';
	ALTER DATABASE postgres SET rag.embedding_model = 'bert';
	CREATE ROLE guest LOGIN;
	SELECT rag.grant_model('llama', 'public')});

# -- a call at work, one that waits, and a cursor that nobody reads
my $long = q{SELECT count(generate(array_fill('x'::text, ARRAY[3000]), max_tokens => 300, temperature => 0))};
my $call = RagServe->call($node, "SET SESSION AUTHORIZATION guest; $long");
ok(RagServe->poll($node, q{SELECT count(*) FROM rag.stat_activity WHERE state = 'running' AND running BETWEEN 1 AND 2
		AND requests - finished > 10 AND prompt_tokens > 0 AND generated_tokens > 0 AND compute_ms > 0 AND queue_ms > 0}, 1),
	'rag.stat_activity: a call at work');
is($node->safe_psql('postgres', q{SELECT usename, request, model FROM rag.stat_activity}), 'guest|generate|llama', '... whose it is');
# both that run may end in one step; so that there is a moment in which none does
ok(RagServe->poll($node, q{SELECT usename, running BETWEEN 1 AND 2, waiting > 10, held_tokens > 0 FROM rag.stat_role WHERE running > 0},
	'guest|t|t|t'), 'rag.stat_role: what a role has and waits for');
ok(RagServe->poll($node, q{SELECT running BETWEEN 1 AND 2, waiting > 10, kv_blocks_used > 0, loaded_percent FROM rag.stat_model WHERE name = 'llama'},
	't|t|t|100.0'), 'rag.stat_model: the same of the model');
my $named = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 170000}) eq 't';
ok(RagServe->poll($node, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = '} . ($named ? 'RagModelAnswer' : 'Extension') .
		q{' AND pid IN (SELECT pid FROM rag.stat_activity)}, 1), 'what it waits for, by a name of its own on 17 and later');
my $second = RagServe->call($node, q{SET rag.priority = 20; SELECT generate('second', max_tokens => 5)});
ok(RagServe->poll($node, q{SELECT count(*) FROM rag.stat_activity WHERE state = 'waiting' AND queue_ms > 50 AND compute_ms = 0}, 1),
	'one that waits');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM rag.stat_activity');
RagServe->result($_) for $call, $second;
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN; DECLARE c CURSOR FOR SELECT generate_stream('x', max_tokens => 3, temperature => 0); FETCH 1 FROM c});
ok(RagServe->poll($node, q{SELECT running + waiting FROM rag.stat_model WHERE name = 'llama'}, 0), 'a cursor that nobody reads');
is($node->safe_psql('postgres', q{SELECT count(*) FROM rag.stat_activity WHERE running = 0}), 1, '... runs nothing when its answer is there');
$reader->query_safe('COMMIT');
$reader->quit;

is($node->safe_psql('postgres', q{SELECT name, state, uri ~ 'tiny-bert$', options FROM rag.stat_model WHERE kind = 'embedding'}), 'bert|ready|t|{}',
	'rag.stat_model: which files');

# -- counts
$node->safe_psql('postgres', 'SELECT rag.stat_reset()');
is($node->safe_psql('postgres', q{SELECT sum(requests + generated_tokens + steps), sum(tokens_per_second) FROM rag.stat_model}), '0|0',
	'after rag.stat_reset() everything is counted anew');
is($node->safe_psql('postgres', q{SELECT sum(requests + generated_tokens) FROM rag.stat_role}), '0', '... of roles too');
$node->safe_psql('postgres', q{SELECT generate('the same beginning, long enough for a block of the cache ' || i, max_tokens => 10, temperature => 0)
	FROM generate_series(1, 4) i; SELECT embed('a cat')});
is($node->safe_psql('postgres', q{SELECT requests, generated_tokens BETWEEN 4 AND 40, prefix_hit_rate > 0.3, batch_size, steps > 8,
		first_token_p50_ms > 0 AND first_token_p99_ms >= first_token_p50_ms AND token_p99_ms > 0,
		(SELECT sum(c) FROM unnest(first_token_histogram) c), (SELECT sum(c) FROM unnest(token_histogram) c) = generated_tokens - 4
		FROM rag.stat_model WHERE name = 'llama'}), '4|t|t|1.00|t|t|4|t', 'rag.stat_model counts requests, tokens, hits and times');
is($node->safe_psql('postgres', q{SELECT usename = current_user, requests, prompt_tokens > 40, cached_tokens > 0, generated_tokens BETWEEN 4 AND 40, compute_ms > 0
		FROM rag.stat_role WHERE requests > 0}), 't|5|t|t|t|t', 'rag.stat_role those of a role');
is($node->safe_psql('postgres', q{SELECT (rag.engine_statistics() -> 'threads')::text}), 2, 'the threads there are');
is($node->safe_psql('postgres', q{SELECT rag.latency_quantile('{0,0,10,0,0,0,0,0,0,0,0,0,0,0,0,10}', q) FROM unnest('{0.25, 0.5, 0.9}'::float8[]) q}),
	"3.5\n5\n50000", 'quantiles of a histogram');
foreach my $call ('SELECT rag.stat_reset()', 'SELECT * FROM rag.stat_role', 'SELECT * FROM rag.stat_model')
{
	my ($code, $out, $err) = $node->psql('postgres', $call, extra_params => [ '-U', 'guest' ]);
	like($err, qr/permission denied/, "not for everybody: $call");
}

# -- the log
my $offset = -s $node->logfile;
$node->safe_psql('postgres', q{SET rag.log_min_duration = 0; SELECT generate('slow', max_tokens => 4, temperature => 0), embed('slow')});
my $log = slurp_file($node->logfile, $offset);
like($log, qr/LOG:  request to model "llama" took [\d.]+ ms: generate\n.*DETAIL:  Queue: [\d.]+ ms; prompt: [\d.]+ ms, \d+ tokens, \d+ of them cached; answer: [\d.]+ ms, \d tokens/,
	'rag.log_min_duration: a generation with its phases');
like($log, qr/LOG:  request to model "bert" took [\d.]+ ms: embed\n.*DETAIL:  Queue: [\d.]+ ms; compute: [\d.]+ ms, \d+ tokens/, '... an embedding');
$offset = -s $node->logfile;
$node->safe_psql('postgres', q{SELECT generate('slow', max_tokens => 4); SET rag.log_min_duration = '1h'; SELECT generate('slow', max_tokens => 4)});
unlike(slurp_file($node->logfile, $offset), qr/request to model/, '... not those that are faster, and none by default');
$node->stop;

# -- an engine that hangs, and one that only computes
my $hung = RagServe->make('hung', conf => ["rag.engine_timeout = '2s'"]);
my $engine = RagServe->engine_pid($hung);
is($hung->safe_psql('postgres', q{SELECT generate('sleep 5000')}), 'sleep 5000', 'an engine that takes its time but answers when asked is left alone');
is(RagServe->engine_pid($hung), $engine, '... and is the same');
$call = RagServe->call($hung, q{SELECT generate('deaf 600000')});
like((RagServe->result($call))[1], qr/ERROR:  58000: the model engine ended while the request was running/, 'one that says nothing is ended');
like(slurp_file($hung->logfile), qr/model engine stopped: it has said nothing for rag.engine_timeout \(2000 ms\)/, '... which the log says');
is($hung->safe_psql('postgres', q{SELECT generate('hello')}), 'hello', 'and another one works');
$hung->stop;

done_testing();
