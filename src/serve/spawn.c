/*
 * spawn.c: a program as a child of the worker, tied to it by a socket.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "storage/fd.h"

#include "engine/protocol.h"
#include "serve/spawn.h"

/* Descriptors of the server: data files, sockets of clients. None may outlive it in a child. */
static void
SpawnCloseInherited(void)
{
	long		limit;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0)
		return;
#endif
	limit = sysconf(_SC_OPEN_MAX);
	if (limit < 0)
		limit = 65536;
	for (int fd = 3; fd < limit; fd++)
		close(fd);
}

static void
SpawnDefaultSignals(void)
{
	sigset_t	none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Tells the other end of the socket why there is no program. */
static void
SpawnReport(const char *program)
{
	protocol_writer w = {0};
	int			saved = errno;
	char		message[ENGINE_MESSAGE_SIZE];

	snprintf(message, sizeof(message), "could not execute \"%s\": %s", program, strerror(saved));
	protocol_begin(&w, PROTOCOL_ERROR, 0);
	protocol_put_u32(&w, saved == ENOENT ? ENGINE_NOT_FOUND : ENGINE_IO);
	protocol_put_string(&w, message, strlen(message));
	if (protocol_end(&w) && write(STDIN_FILENO, w.data, w.length) < 0)
		_exit(126);
	_exit(127);
}

static void
SpawnFirstVictim(void)
{
	int			fd = open("/proc/self/oom_score_adj", O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, "1000", 4) < 0)
	{
		/* the kernel may refuse: the program runs all the same */
	}
	close(fd);
}

_Noreturn static void
SpawnChild(const char *program, char *const *argv, int channel, int log, pid_t parent)
{
	SpawnDefaultSignals();
	setsid();
#ifdef __linux__
	/* the worker may have died before this call: then nobody would send the signal */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
#endif
	if (dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(channel, STDIN_FILENO) < 0)
		_exit(1);
	SpawnCloseInherited();
	SpawnFirstVictim();
	execv(program, argv);
	SpawnReport(program);
	pg_unreachable();
}

static bool
SpawnFail(engine_error *error, const char *what, int pair[2], int pipe_ends[2])
{
	engine_fail(error, ENGINE_IO, "could not %s for the model engine: %s", what, strerror(errno));
	for (int i = 0; i < 2; i++)
	{
		if (pair[i] >= 0)
			close(pair[i]);
		if (pipe_ends[i] >= 0)
			close(pipe_ends[i]);
	}
	return false;
}

bool
SpawnProgram(const char *program, char *const *argv, SpawnedProcess *process, engine_error *error)
{
	int			pair[2] = {-1, -1};
	int			log[2] = {-1, -1};
	pid_t		parent = getpid();
	pid_t		pid;
	sigset_t	all,
				before;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		return SpawnFail(error, "make a socket", pair, log);
	if (pipe(log) != 0)
		return SpawnFail(error, "make a pipe", pair, log);
	if (fcntl(pair[0], F_SETFD, FD_CLOEXEC) != 0 || fcntl(log[0], F_SETFD, FD_CLOEXEC) != 0 ||
		!pg_set_noblock(pair[0]) || !pg_set_noblock(log[0]))
		return SpawnFail(error, "prepare a socket", pair, log);

	fflush(stdout);
	fflush(stderr);
	/* no handler of the worker may run in the child */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		SpawnChild(program, argv, pair[1], log[1], parent);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return SpawnFail(error, "make a process", pair, log);

	close(pair[1]);
	close(log[1]);
	ReserveExternalFD();
	ReserveExternalFD();
	process->pid = pid;
	process->socket = pair[0];
	process->log = log[0];
	return true;
}

void
SpawnClose(int socket, int log)
{
	close(socket);
	close(log);
	ReleaseExternalFD();
	ReleaseExternalFD();
}
