/*
 * main.c: rag-engine, the process that holds the models.
 *
 *     rag-engine [--threads N] [--device auto|cpu|cuda] [--max-batched-tokens N] [--max-queue N]
 *                [--max-slowdown F] [--progress MS] [--cuda-device N] [--gpu-memory-utilization X]
 *
 * Serves the frames of protocol.h on descriptor 0, a stream socket, until that is
 * closed; what it has to say besides goes to standard error. It lives apart from
 * PostgreSQL so that a model that crashes or runs out of memory costs no database: it
 * keeps no other inherited descriptor, dies with its parent, and is the first that the
 * kernel's out-of-memory killer takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "engine/server.h"

#define STREAM_FD 0

static bool
parse_number(const char *text, int low, int high, int *out)
{
	char	   *end;
	long		value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < low || value > high)
		return false;
	*out = (int) value;
	return true;
}

/* At least 1; 0: none. */
static bool
parse_slowdown(const char *text, float *out)
{
	char	   *end;
	float		value = strtof(text, &end);

	if (end == text || *end != '\0' || !(value == 0 || (value >= 1 && value <= 1000)))
		return false;
	*out = value == 0 ? -1 : value;
	return true;
}

static bool
parse_share(const char *text, double *out)
{
	char	   *end;

	*out = strtod(text, &end);
	return end != text && *end == '\0' && *out > 0 && *out <= 1;
}

static bool
parse_device(const char *text, engine_device_choice *out)
{
	static const char *const names[] = {"auto", "cpu", "cuda"};

	for (int i = 0; i < 3; i++)
	{
		if (strcmp(text, names[i]) == 0)
		{
			*out = (engine_device_choice) i;
			return true;
		}
	}
	return false;
}

static bool
parse_arguments(int argc, char **argv, engine_config *out)
{
	*out = (engine_config) {0};
	for (int i = 1; i + 1 < argc; i += 2)
	{
		const char *value = argv[i + 1];
		bool		good = false;

		if (strcmp(argv[i], "--threads") == 0)
			good = parse_number(value, 0, 1024, &out->threads);
		else if (strcmp(argv[i], "--device") == 0)
			good = parse_device(value, &out->device);
		else if (strcmp(argv[i], "--max-batched-tokens") == 0)
			good = parse_number(value, 0, 1 << 20, &out->max_num_batched_tokens);
		else if (strcmp(argv[i], "--progress") == 0)
			good = parse_number(value, 0, 3600000, &out->progress_ms);
		else if (strcmp(argv[i], "--max-slowdown") == 0)
			good = parse_slowdown(value, &out->max_slowdown);
		else if (strcmp(argv[i], "--max-queue") == 0)
			good = parse_number(value, 0, 1 << 20, &out->max_queue);
		else if (strcmp(argv[i], "--cuda-device") == 0)
			good = parse_number(value, 0, 1023, &out->cuda_device);
		else if (strcmp(argv[i], "--gpu-memory-utilization") == 0)
			good = parse_share(value, &out->gpu_memory_utilization);
		if (!good)
			return false;
	}
	return argc % 2 == 1;
}

/* Everything above standard error. */
static void
close_inherited(void)
{
	long		highest;

	if (close_range(3, ~0U, 0) == 0)
		return;
	/* a kernel before 5.9 */
	highest = sysconf(_SC_OPEN_MAX);
	for (int i = 3; i < highest && i < (1 << 20); i++)
		close(i);
}

static void
be_first_to_die(void)
{
	int			fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	/* where it cannot be set, the kernel chooses as it likes */
	if (fd >= 0)
	{
		if (write(fd, "1000", 4) != 4)
			fprintf(stderr, "could not set oom_score_adj: %s\n", strerror(errno));
		close(fd);
	}
}

/* The frame that the other end gets instead of HELLO. */
static void
report_failure(const engine_error *error)
{
	protocol_writer out = {0};

	protocol_begin(&out, PROTOCOL_ERROR, 0);
	protocol_put_u32(&out, (uint32_t) error->code);
	protocol_put_string(&out, error->message, strlen(error->message));
	if (!protocol_end(&out) || write(STREAM_FD, out.data, out.length) != (ssize_t) out.length)
		fprintf(stderr, "could not start: %s\n", error->message);
	free(out.data);
}

int
main(int argc, char **argv)
{
	engine_config config;
	engine	   *e;
	engine_error error;
	bool		good;
	pid_t		parent = getppid();

	if (!parse_arguments(argc, argv, &config))
	{
		fprintf(stderr, "usage: rag-engine [--threads N] [--device auto|cpu|cuda] [--max-batched-tokens N]\n"
				"                  [--max-queue N] [--max-slowdown F] [--progress MS] [--cuda-device N]\n"
				"                  [--gpu-memory-utilization X]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* the parent may have gone before the line above */
	if (getppid() != parent)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	close_inherited();
	be_first_to_die();

	e = engine_open(&config, &error);
	if (e == NULL)
	{
		report_failure(&error);
		return 1;
	}
	if (*engine_device_note(e) != '\0')
		fprintf(stderr, "%s\n", engine_device_note(e));
	good = server_run(e, STREAM_FD, &error);
	if (!good)
		fprintf(stderr, "%s\n", error.message);
	engine_close(e);
	return good ? 0 : 1;
}
