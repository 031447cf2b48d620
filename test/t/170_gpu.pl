# A server whose engine has a GPU, by the CUDA backend on its emulator: models, builds of indexes; and one that has
# the backend but no driver.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use File::Copy;
use PostgreSQL::Test::Utils;
use RagNode;
use RagServe;
use Test::More;

my $libraries = $ENV{RAG_TEST_CUDA} || '';
plan skip_all => 'the CUDA backend on the emulator is not built (RAG_TEST_CUDA)'
  unless -e "$libraries/emulated/rag_cuda.so";

my $data = $ENV{RAG_TEST_DATA} || "$FindBin::RealBin/../data";
my $llama = "$data/models/alphabet-llama.gguf";
my $bert = "$data/models/tiny-bert";
my $node = RagNode->make('main', preload => 1, start => 0,
	conf => [ 'rag.threads = 1', 'log_min_messages = info', 'max_parallel_maintenance_workers = 0' ]);

# A folder with the program and a backend, and a script that starts it.
sub engine_with
{
	my ($name, $library, $environment) = @_;
	my $folder = $node->basedir . "/$name";
	my $program = RagNode->library_folder . '/rag-engine';
	mkdir $folder;
	copy($program, "$folder/rag-engine") or die "copy of $program: $!";
	copy("$libraries/$library/rag_cuda.so", "$folder/rag_cuda.so") or die "copy of a library: $!";
	append_to_file("$folder/start", "#!/bin/sh\n$environment exec '$folder/rag-engine' \"\$@\"\n");
	chmod 0755, "$folder/rag-engine", "$folder/start";
	return "$folder/start";
}

# The server's log since.
my $log_seen = 0;
sub new_log
{
	my $all = slurp_file($node->logfile);
	my $new = substr($all, $log_seen);
	$log_seen = length $all;
	return $new;
}

sub use_engine
{
	my ($start, $device) = @_;
	new_log();
	$node->append_conf('postgresql.conf', "rag.engine_path = '$start'\nrag.device = '$device'\n");
	$node->restart;
}

my $gpu = engine_with('gpu', 'emulated', '');
my @without = ([ 'on the emulator', engine_with('driverless', 'emulated', 'EMULATOR_DEVICES=driver') ]);
push @without, [ 'as nvcc has built it', engine_with('built', 'built', 'CUDA_VISIBLE_DEVICES=-1') ]
  if -e "$libraries/built/rag_cuda.so";

# -- models
$node->append_conf('postgresql.conf', "rag.device = 'cpu'\n");
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION rag;
	SELECT rag.load_model('bert', '$bert'), rag.load_model('llama', '$llama');
	ALTER DATABASE postgres SET rag.embedding_model = 'bert';
	ALTER DATABASE postgres SET rag.generation_model = 'llama'});
$node->safe_psql('postgres', q{
	CREATE TABLE by_cpu AS SELECT t, embed(t) AS e, generate(t, max_tokens => 12, temperature => 0) AS g
		FROM unnest(ARRAY['the cat', 'a much longer text about a dog, which goes on for a while', '']) t});
use_engine($gpu, 'cuda');
is($node->safe_psql('postgres', q{SELECT count(*) FILTER (WHERE e <=> embed(t) < 1e-4),
	count(*) FILTER (WHERE g = generate(t, max_tokens => 12, temperature => 0)) FROM by_cpu}),
	'3|3', 'embeddings and texts on the GPU are those of the CPU');
like(new_log(), qr/CUDA 0 \(/, 'the log says which device it is');

# -- builds of indexes
$node->safe_psql('postgres', q{
	SELECT setseed(0.5);
	CREATE TABLE v (id int, e vector(64), h halfvec(24), s vector(16)) WITH (autovacuum_enabled = off);
	INSERT INTO v SELECT i, x::vector, y::vector::halfvec, x[3:18]::vector FROM (SELECT i,
		(SELECT array_agg(random() - 0.5 + (i + 0 * g) % 7) FROM generate_series(1, 64) g) AS x,
		(SELECT array_agg(random() - 0.5 + 0 * (i + g)) FROM generate_series(1, 24) g) AS y
		FROM generate_series(1, 2300) i) t;
	INSERT INTO v SELECT 2300 + i, e, h, s FROM generate_series(1, 400) i JOIN v ON id = 1 + i % 3;
	INSERT INTO v VALUES (0, NULL, NULL, NULL);
	-- how many of the ten nearest of 40 values does an index find? rows of equal distance are one
	CREATE FUNCTION hits(value text, op text) RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		q record;
		farthest float8;
		n bigint;
		hits bigint := 0;
	BEGIN
		SET LOCAL hnsw.iterative_scan = off;
		FOR q IN EXECUTE format('SELECT %s AS x FROM v WHERE id BETWEEN 100 AND 139', value) LOOP
			SET LOCAL enable_indexscan = off;
			EXECUTE format('SELECT max(d) FROM (SELECT DISTINCT %s %s $1 AS d FROM v ORDER BY 1 LIMIT 10) t', value, op)
				USING q.x INTO farthest;
			SET LOCAL enable_indexscan = on;
			SET LOCAL enable_seqscan = off;
			EXECUTE format('SELECT count(DISTINCT d) FROM (SELECT %s %s $1 AS d FROM v ORDER BY %1$s %2$s $1 LIMIT 40) t
				WHERE d <= $2', value, op) USING q.x, farthest INTO n;
			SET LOCAL enable_seqscan = on;
			hits := hits + n;
		END LOOP;
		RETURN hits;
	END $$});

for my $case ([ 'e', 'vector_l2_ops', '<->' ], [ 'h', 'halfvec_ip_ops', '<#>' ], [ 's', 'vector_cosine_ops', '<=>' ])
{
	my ($value, $class, $operator) = @$case;
	my ($out, $err, @hits);

	for my $setting ('off', 'on')
	{
		my $code = $node->psql('postgres', qq{SET rag.gpu_index_build = $setting;
			CREATE INDEX v_$setting ON v USING hnsw ($value $class) WITH (m = 8, ef_construction = 40)},
			stdout => \$out, stderr => \$err);

		is("$code$err", '0', "$class: an index is built, rag.gpu_index_build = $setting");
		is($node->safe_psql('postgres', "SELECT count(*) FROM rag.hnsw_check('v_$setting')"), '0', '... without mistakes');
		is($node->safe_psql('postgres', "SELECT reltuples FROM pg_class WHERE relname = 'v_$setting'"), '2700',
			'... of all rows');
		push @hits, $node->safe_psql('postgres', "SELECT hits('$value', '$operator')");
		$node->safe_psql('postgres', "DROP INDEX v_$setting");
	}
	cmp_ok($hits[1], '>=', 360, "$class: nine of ten neighbours are found ($hits[1] of 400)");
	cmp_ok($hits[1], '>=', $hits[0] - 8, "... as many as of an ordinary build ($hits[0])");
}
RagServe->wait_calls($node, 0);

my $build = 'SET rag.gpu_index_build = on; CREATE INDEX v_index ON v USING hnsw (e vector_l2_ops)';
my ($out, $err);
$node->psql('postgres', "SET maintenance_work_mem = '1MB'; $build", stderr => \$err);
like($err, qr/no longer fits into maintenance_work_mem/, 'a graph that goes to pages in the middle');
unlike($err, qr/WARNING/, '... which is not the fault of the GPU');
is($node->safe_psql('postgres', "SELECT count(*), (SELECT reltuples FROM pg_class WHERE relname = 'v_index')
	FROM rag.hnsw_check('v_index'); DROP INDEX v_index"), '0|2700', '... and is whole');

$node->psql('postgres', 'SET rag.gpu_index_build = on; CREATE INDEX ON v USING hnsw (s vector_l1_ops)', stderr => \$err);
like($err, qr/WARNING:  index "v_s_idx" is built without a GPU\n.*Euclidean distance/,
	'a distance that is not computed there');

# the engine stops, so that it is certain to end in the middle
my $engine = RagServe->engine_pid($node);
kill 'STOP', $engine;
my $call = RagServe->call($node, $build);
RagServe->wait_calls($node, 1);
kill 'KILL', $engine;
($out, $err) = RagServe->result($call);
like($err, qr/WARNING:.*index "v_index" is built without a GPU\nDETAIL:.*engine ended/, 'the engine ends: a warning');
is($node->safe_psql('postgres', "SELECT count(*), (SELECT reltuples FROM pg_class WHERE relname = 'v_index')
	FROM rag.hnsw_check('v_index'); DROP INDEX v_index"), '0|2700', '... and the index is whole');

# and when rows are in already, most likely; what is warned of is as chance has it
$call = RagServe->call($node, $build);
RagServe->poll($node, 'SELECT count(*) > 0 FROM pg_class WHERE relname = \'v_index\'
	UNION SELECT true FROM pg_stat_progress_create_index WHERE tuples_done > 0 ORDER BY 1 DESC LIMIT 1', 't');
RagServe->kill_engine($node);
($out, $err) = RagServe->result($call);
unlike($err, qr/ERROR/, 'the engine ends with some rows in the graph');
is($node->safe_psql('postgres', "SELECT count(*), (SELECT reltuples FROM pg_class WHERE relname = 'v_index')
	FROM rag.hnsw_check('v_index'); DROP INDEX v_index"), '0|2700', '... and the index is whole');

# canceled while it waits
$engine = RagServe->engine_pid($node);
kill 'STOP', $engine;
$node->psql('postgres', "SET statement_timeout = '500ms'; $build", stderr => \$err);
kill 'CONT', $engine;
like($err, qr/ERROR:.*statement timeout/, 'a build that waits for the GPU is canceled');
RagServe->wait_calls($node, 0);
is(($node->psql('postgres', $build, stderr => \$err))[0] . $err, '0', 'the next one is not disturbed');

# -- no driver
for my $case (@without)
{
	my ($name, $start) = @$case;

	use_engine($start, 'auto');
	is($node->safe_psql('postgres', q{SELECT bool_and(e = embed(t) AND g = generate(t, max_tokens => 12, temperature => 0))
		FROM by_cpu}), 't', "$name, no device, rag.device = auto: models run on the CPU");
	like(new_log(), qr/models run on the CPU: .*error (35|100)/, '... and the log says why');
	$node->psql('postgres', "DROP INDEX v_index; $build", stderr => \$err);
	like($err, qr/WARNING:.*is built without a GPU\n.*has no GPU, but runs on CPU/, '... an index is built without a GPU');
	use_engine($start, 'cuda');
	$node->psql('postgres', q{SELECT embed('the cat')}, stderr => \$err);
	like($err, qr/ERROR:.*the model engine is not running: .*error (35|100)/, '... rag.device = cuda: a clear error');
}

done_testing();
