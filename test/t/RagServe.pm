
=pod

=head1 NAME

RagServe - nodes with a model engine that fails on request, and calls in the background

=head1 SYNOPSIS

  use RagServe;

  my $node = RagServe->make('main', conf => ['rag.max_channels = 4']);
  my $call = RagServe->call($node, q{SELECT generate('sleep 500')});
  RagServe->wait_calls($node, 1);
  RagServe->kill_engine($node);
  my ($out, $err) = RagServe->result($call);

=head1 DESCRIPTION

The engine is F<fake-engine>, beside this file: what it does is in the texts it is
asked about. The models "e" and "g" exist in the database postgres.

=cut

package RagServe;

use strict;
use warnings;
use File::Basename;
use File::Copy;
use IPC::Run;
use PostgreSQL::Test::Utils;
use RagNode;
use Time::HiRes qw(usleep);

# A started node whose engine is its own copy of fake-engine.
sub make
{
	my ($class, $name, %option) = @_;
	my $node = RagNode->make($name, preload => 1, %option, start => 0);
	my $engine = $node->basedir . '/fake-engine';
	copy(dirname(__FILE__) . '/fake-engine', $engine) or die "copy: $!";
	chmod 0755, $engine;
	$node->append_conf('postgresql.conf',
		join("\n", "rag.engine_path = '$engine'", @{ $option{conf} || [] }) . "\n");
	$node->start;
	$class->make_models($node, 'postgres');
	return $node;
}

sub make_models
{
	my ($class, $node, $database) = @_;
	$node->safe_psql($database, q{
		CREATE EXTENSION rag;
		SELECT rag.load_model('e', '/models/e'), rag.load_model('g', '/models/g')});
	$node->safe_psql($database, qq{ALTER DATABASE $database SET rag.$_->[0] = '$_->[1]'})
		for [ embedding_model => 'e' ], [ generation_model => 'g' ];
}

# Trouble at the engine's next starts: "exit", "version"; '' for none.
sub start_trouble
{
	my ($class, $node, $word) = @_;
	my $file = $node->basedir . '/fake-engine.start';
	unlink $file;
	append_to_file($file, "$word\n") if $word ne '';
}

# psql in the background.
sub call
{
	my ($class, $node, $sql, %option) = @_;
	my $call = { out => '', err => '' };
	$call->{handle} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d',
			$node->connstr($option{database} || 'postgres'), '-c', $sql
		],
		'<', \undef, '>', \$call->{out}, '2>', \$call->{err});
	return $call;
}

# What a call printed, when it has ended.
sub result
{
	my ($class, $call) = @_;
	$call->{handle}->finish;
	chomp(my $out = $call->{out});
	return ($out, $call->{err});
}

# Polls a query until it gives what is expected; false after a minute.
sub poll
{
	my ($class, $node, $sql, $expected) = @_;
	for (1 .. 600)
	{
		return 1 if $node->safe_psql('postgres', $sql) eq $expected;
		usleep(100_000);
	}
	return 0;
}

# Waits until so many calls of models are running.
sub wait_calls
{
	my ($class, $node, $count) = @_;
	$class->poll($node, 'SELECT count(*) FROM rag.stat_activity', $count)
		or die "there are not $count calls";
}

sub engine_pid
{
	my ($class, $node) = @_;
	$class->poll($node, 'SELECT engine_pid IS NOT NULL FROM rag.stat_engine()', 't')
		or die 'there is no engine';
	return $node->safe_psql('postgres', 'SELECT engine_pid FROM rag.stat_engine()');
}

sub worker_pid
{
	my ($class, $node) = @_;
	return $node->safe_psql('postgres', 'SELECT worker_pid FROM rag.stat_engine()');
}

# True once a process has ended, within ten seconds.
sub gone
{
	my ($class, $pid) = @_;
	for (1 .. 100)
	{
		return 1 unless kill 0, $pid;
		usleep(100_000);
	}
	return 0;
}

sub kill_engine
{
	my ($class, $node) = @_;
	kill 'KILL', $class->engine_pid($node);
}

1;
