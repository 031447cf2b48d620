# The engine dies, misbehaves or does not start: clear errors, and the server never notices.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use RagServe;
use Test::More;

my $node = RagServe->make('main');
my $postmaster = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $worker = RagServe->worker_pid($node);
my $died = qr/ERROR:  58000: the model engine ended while the request was running/;

sub answers
{
	my ($what) = @_;
	is($node->safe_psql('postgres', q{SELECT generate('hello')}), 'hello', "the next call works: $what");
}

# -- SIGKILL with eight calls running
{
	my $first = RagServe->engine_pid($node);
	my @calls = map { RagServe->call($node, q{SELECT generate('hang')}) } 1 .. 8;
	RagServe->wait_calls($node, 8);
	RagServe->kill_engine($node);
	my @errors = map { (RagServe->result($_))[1] } @calls;
	is(scalar(grep { $_ =~ $died } @errors), 8, 'each of eight running calls gets a clear error');
	is(scalar(grep { /HINT:  Try again/ } @errors), 8, 'and a hint');
	answers('after SIGKILL');
	isnt(RagServe->engine_pid($node), $first, 'by another engine');
	RagServe->wait_calls($node, 0);
	ok(RagServe->gone($first), 'the old engine has been reaped');
	like(slurp_file($node->logfile), qr/model engine \(PID $first\) was terminated by signal 9/,
		'the log says how it ended');
}

# -- it dies by itself, half way through an answer
{
	my ($out, $err) = RagServe->result(RagServe->call($node, q{SELECT embed('die')}));
	like($err, $died, 'an engine that dies by itself');
	answers('after it died');
}

# -- it breaks the protocol
foreach my $command ('garbage', 'oversize')
{
	my $bystander = RagServe->call($node, q{SELECT generate('hang')});
	RagServe->wait_calls($node, 1);
	my ($out, $err) = RagServe->result(RagServe->call($node, "SELECT generate('$command')"));
	like($err, $died, "$command: an error");
	like((RagServe->result($bystander))[1], $died, "$command: running calls are told");
	answers("after $command");
}
is($node->safe_psql('postgres', q{SELECT generate('stranger')}), 'stranger',
	'answers to requests that nobody made reach nobody');

# -- errors of the engine keep their meaning
foreach my $case ([ 1, '22023' ], [ 2, '58P01' ], [ 3, '22P03' ], [ 4, '0A000' ], [ 5, '53200' ], [ 6, '54000' ],
	[ 7, '53400' ], [ 9, '58030' ], [ 12, '42501' ], [ 99, 'XX000' ])
{
	my ($out, $err) = RagServe->result(RagServe->call($node, "SELECT generate('fail $case->[0]')"));
	like($err, qr/ERROR:  $case->[1]: failed as asked with code $case->[0]\n.*CONTEXT:  model "g"/s,
		"engine's code $case->[0] is SQLSTATE $case->[1]");
}

# -- it does not start
foreach my $case ([ 'exit', qr/ERROR:  58030: the model engine (could not be started|is not running): it has ended/ ],
	[ 'version', qr/ERROR:  08P01: the model engine .*: the model engine is of another version/ ])
{
	RagServe->start_trouble($node, $case->[0]);
	$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
	like((RagServe->result(RagServe->call($node, q{SELECT generate('x')})))[1], $case->[1],
		"an engine with trouble at its start: $case->[0]");
}

# one that never says HELLO: calls wait for it, interruptibly, and go to the next
{
	RagServe->start_trouble($node, 'mute');
	$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
	like((RagServe->result(RagServe->call($node, q{SET statement_timeout = '300ms'; SELECT generate('x')})))[1],
		qr/ERROR:  57014: canceling statement due to statement timeout/, 'a call to an engine that is mute can be canceled');
	my $patient = RagServe->call($node, q{SELECT generate('patient')});
	RagServe->wait_calls($node, 1);
	RagServe->start_trouble($node, 'exit');
	$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
	like((RagServe->result($patient))[1], qr/ERROR:  58030: the model engine .*: it has ended/,
		'who waits for an engine learns that there is none');
}

# calls against an engine that cannot start do not start one each
{
	my $offset = -s $node->logfile;
	$node->psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 500 LOOP BEGIN PERFORM generate(\'x\'); '
		. 'EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$');
	my $starts = () = slurp_file($node->logfile, $offset) =~ /could not be started/g;
	cmp_ok($starts, '<', 10, "500 calls, $starts attempts to start: it backs off");
}

# without a program, with one that may not be executed
RagServe->start_trouble($node, '');
my $path = $node->basedir . '/fake-engine';
rename $path, "$path.away";
$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
like((RagServe->result(RagServe->call($node, q{SELECT generate('x')})))[1],
	qr/ERROR:  58P01: .*could not execute "\Q$path\E": No such file/, 'a missing program is named');
append_to_file($path, "not a program");
$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
like((RagServe->result(RagServe->call($node, q{SELECT generate('x')})))[1],
	qr/ERROR:  58030: .*could not execute "\Q$path\E": Permission denied/, 'one that is not executable is named');
rename "$path.away", $path;
$node->safe_psql('postgres', 'SELECT rag.restart_engine()');
answers('when the program is there again');

# -- the worker ends: its engine with it, running calls are told, another worker takes over
{
	my $engine = RagServe->engine_pid($node);
	my $call = RagServe->call($node, q{SELECT generate('hang')});
	RagServe->wait_calls($node, 1);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
	like((RagServe->result($call))[1], qr/ERROR:  58000: the model worker ended while the request was running/,
		'a call that was running when the worker ended');
	answers('by the next worker');
	isnt(RagServe->worker_pid($node), $worker, 'which is another process');
	ok(RagServe->gone($engine), "the old worker's engine has ended with it");
}
is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $postmaster, 'the server was never restarted');
unlike(slurp_file($node->logfile), qr/terminating any other active server processes/, 'no process was taken down');

$node->stop;
done_testing();
