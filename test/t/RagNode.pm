
=pod

=head1 NAME

RagNode - a PostgreSQL::Test::Cluster node that has the extension rag

=head1 SYNOPSIS

  use RagNode;

  my $node = RagNode->make('main', preload => 1, conf => ['work_mem = 8MB']);
  $node->safe_psql('postgres', 'CREATE EXTENSION rag');

  my $standby = RagNode->make_standby('standby', $node);

  my $load = RagNode->start_load($node, clients => 4, scripts => ['INSERT INTO t VALUES (1);']);
  print RagNode->end_load($load);

=head1 DESCRIPTION

The extension is found in the stage folder that RAG_STAGE names (what
C<make install DESTDIR=$RAG_STAGE> wrote), or in the server's own folders when
RAG_STAGE is not set. A node is stopped and removed at the end of the test, as
every node of PostgreSQL::Test::Cluster.

=cut

package RagNode;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# The lines that make a server find the staged extension.
sub stage_conf
{
	my $stage = $ENV{RAG_STAGE};
	return () unless defined $stage && $stage ne '';
	my ($major) = _pg_config('--version') =~ /(\d+)/;
	my $libdir = _pg_config('--pkglibdir');
	my $sharedir = _pg_config('--sharedir');
	return (
		"dynamic_library_path = '$stage$libdir:\$libdir'",
		$major >= 18
		? "extension_control_path = '$stage$sharedir:\$system'"
		: "extension_destdir = '$stage'");
}

sub _pg_config
{
	my ($option) = @_;
	my $program = $ENV{PG_CONFIG} || 'pg_config';
	my $line = `$program $option`;
	die "could not run $program $option" if $? != 0;
	chomp $line;
	return $line;
}

# Where the module and its programs are.
sub library_folder
{
	return ($ENV{RAG_STAGE} || '') . _pg_config('--pkglibdir');
}

# A started node. preload => 1 puts rag into shared_preload_libraries; conf takes
# lines of postgresql.conf, init the options of $node->init, start => 0 leaves it down.
sub make
{
	my ($class, $name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%{ $option{init} || {} });
	my @lines = stage_conf();
	push @lines, "shared_preload_libraries = 'rag'" if $option{preload};
	push @lines, @{ $option{conf} || [] };
	$node->append_conf('postgresql.conf', join("\n", @lines) . "\n");
	$node->start if $option{start} // 1;
	return $node;
}

# A started streaming standby of a node made with init => { allows_streaming => 1 }.
sub make_standby
{
	my ($class, $name, $primary) = @_;
	my $backup = "backup_$name";
	$primary->backup($backup);
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, $backup, has_streaming => 1);
	$standby->start;
	return $standby;
}

# pgbench in the background: each client runs the scripts over and over until
# end_load, or until the server goes away. clients => how many; scripts => a list of
# texts in pgbench's script language, taken at random; seconds bounds a forgotten load.
sub start_load
{
	my ($class, $node, %option) = @_;
	my $clients = $option{clients} || 1;
	my @command = (
		'pgbench', '-n', '-M', 'simple', '-c', $clients, '-j', 1,
		'-T', $option{seconds} || 300);
	foreach my $script (@{ $option{scripts} })
	{
		my $file = PostgreSQL::Test::Utils::tempdir() . '/load.sql';
		append_to_file($file, $script);
		push @command, '-f', $file;
	}
	push @command, $node->connstr($option{database} || 'postgres');
	my $load = { output => '' };
	$load->{handle} = IPC::Run::start(\@command, '<', \undef, '&>', \$load->{output});
	return $load;
}

# Ends a load and returns what pgbench said.
sub end_load
{
	my ($class, $load) = @_;
	$load->{handle}->signal('INT') if $load->{handle}->pumpable;
	$load->{handle}->finish;
	return $load->{output};
}

1;
