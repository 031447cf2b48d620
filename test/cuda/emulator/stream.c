/*
 * stream.c: streams, events, graphs and devices. Work waits until something is synchronised.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "emulator.h"

typedef struct item
{
	struct item *next;
	emulator_work work;
	cudaEvent_t wait;			/* instead of work: for what was recorded there by then */
	unsigned	until;
	cudaEvent_t record;
} item;

struct emulator_graph
{
	item	   *first;
	item	  **end;
};

struct emulator_stream
{
	struct emulator_stream *next;
	item	   *first;
	item	  **end;
	struct emulator_graph *capture;
};

struct emulator_event
{
	cudaStream_t stream;
	unsigned	recorded;
	unsigned	reached;
};

static struct
{
	pthread_mutex_t lock;
	pthread_once_t once;
	cudaError_t last;
} streams = {.once = PTHREAD_ONCE_INIT};

static void
initialize(void)
{
	pthread_mutexattr_t recursive;

	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&streams.lock, &recursive);
}

void
emulator_lock(void)
{
	pthread_once(&streams.once, initialize);
	pthread_mutex_lock(&streams.lock);
}

void
emulator_unlock(void)
{
	pthread_mutex_unlock(&streams.lock);
}

static item *
append(item *** end, const item *what)
{
	item	   *i = malloc(sizeof(*i));

	*i = *what;
	i->next = NULL;
	**end = i;
	*end = &i->next;
	return i;
}

cudaError_t
emulator_enqueue(cudaStream_t stream, const emulator_work *work)
{
	if (stream == NULL)
		emulator_abort("work on the default stream");
	emulator_lock();
	append(stream->capture != NULL ? &stream->capture->end : &stream->end, &(item) {.work = *work});
	emulator_unlock();
	return cudaSuccess;
}

/* Does what the stream has, as far as `until` of an event or all; what it waits for comes first. */
static void
drain(cudaStream_t stream, cudaEvent_t event, unsigned until)
{
	while (stream->first != NULL && (event == NULL || (int) (event->reached - until) < 0))
	{
		item	   *i = stream->first;

		if (i->wait != NULL && (int) (i->wait->reached - i->until) < 0)
			drain(i->wait->stream, i->wait, i->until);
		stream->first = i->next;
		if (stream->first == NULL)
			stream->end = &stream->first;
		if (i->record != NULL)
			i->record->reached = i->until;
		if (i->work.run != NULL)
		{
			i->work.run(i->work.data);
			if (i->work.destroy != NULL)
				i->work.destroy(i->work.data);
		}
		free(i);
	}
}

/* After a launch that failed nothing runs any more. */
static void
discard(cudaStream_t stream)
{
	while (stream->first != NULL)
	{
		item	   *i = stream->first;

		stream->first = i->next;
		if (i->work.destroy != NULL)
			i->work.destroy(i->work.data);
		free(i);
	}
	stream->end = &stream->first;
}

cudaError_t
cudaStreamSynchronize(cudaStream_t stream)
{
	emulator_lock();
	if (getenv("EMULATOR_BROKEN") != NULL)
	{
		discard(stream);
		emulator_unlock();
		return cudaErrorLaunchFailure;
	}
	if (stream->capture != NULL)
		emulator_abort("a stream is synchronised while it is captured");
	emulator_open_memory(true);
	drain(stream, NULL, 0);
	emulator_open_memory(false);
	emulator_unlock();
	return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
	(void) flags;
	*out = calloc(1, sizeof(**out));
	(*out)->end = &(*out)->first;
	return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
	cudaStreamSynchronize(stream);
	free(stream);
	return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
	(void) flags;
	*out = calloc(1, sizeof(**out));
	return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
	free(event);
	return cudaSuccess;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
	emulator_lock();
	event->stream = stream;
	event->recorded++;
	append(&stream->end, &(item) {.record = event,.until = event->recorded});
	emulator_unlock();
	return cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
	(void) flags;
	emulator_lock();
	if (event->stream != NULL)
		append(&stream->end, &(item) {.wait = event,.until = event->recorded});
	emulator_unlock();
	return cudaSuccess;
}

/* A copy or a fill. */
typedef struct transfer
{
	void	   *to;
	const void *from;
	int			value;
	size_t		bytes;
} transfer;

static void
run_transfer(void *data)
{
	const transfer *t = data;

	if (t->from != NULL)
		memcpy(t->to, t->from, t->bytes);
	else
		memset(t->to, t->value, t->bytes);
}

static cudaError_t
enqueue_transfer(cudaStream_t stream, const transfer *what)
{
	transfer   *t = malloc(sizeof(*t));

	*t = *what;
	return emulator_enqueue(stream, &(emulator_work) {run_transfer, free, t});
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
	(void) kind;
	if (bytes == 0)
		return cudaSuccess;
	return enqueue_transfer(stream, &(transfer) {.to = to,.from = from,.bytes = bytes});
}

cudaError_t
cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
	if (bytes == 0)
		return cudaSuccess;
	return enqueue_transfer(stream, &(transfer) {.to = to,.value = value,.bytes = bytes});
}

cudaError_t
cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode)
{
	(void) mode;
	stream->capture = calloc(1, sizeof(*stream->capture));
	stream->capture->end = &stream->capture->first;
	return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
	*out = stream->capture;
	stream->capture = NULL;
	return cudaSuccess;
}

/* The executable graph takes over what the graph holds. */
cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
	(void) flags;
	*out = calloc(1, sizeof(**out));
	(*out)->first = graph->first;
	graph->first = NULL;
	return cudaSuccess;
}

static void
run_graph(void *data)
{
	for (item *i = ((cudaGraphExec_t) data)->first; i != NULL; i = i->next)
		i->work.run(i->work.data);
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
	return emulator_enqueue(stream, &(emulator_work) {run_graph, NULL, graph});
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
	while (graph->first != NULL)
	{
		item	   *i = graph->first;

		graph->first = i->next;
		if (i->work.destroy != NULL)
			i->work.destroy(i->work.data);
		free(i);
	}
	free(graph);
	return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t graph)
{
	return cudaGraphDestroy(graph);
}

cudaError_t
cudaGetDeviceCount(int *count)
{
	const char *text = getenv("EMULATOR_DEVICES");

	*count = 0;
	if (text != NULL && strcmp(text, "driver") == 0)
		return cudaErrorInsufficientDriver;
	*count = text != NULL ? atoi(text) : 1;
	return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t
cudaSetDevice(int device)
{
	int			count;

	return cudaGetDeviceCount(&count) == cudaSuccess && device >= 0 && device < count ?
		cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t
cudaGetDeviceProperties(cudaDeviceProp *out, int device)
{
	(void) device;
	strcpy(out->name, "emulated");
	return cudaSuccess;
}

cudaError_t
cudaDeviceGetAttribute(int *out, cudaDeviceAttr attribute, int device)
{
	(void) device;
	*out = attribute == cudaDevAttrMultiProcessorCount ? 4 :
		attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 0;
	return cudaSuccess;
}

const char *
cudaGetErrorString(cudaError_t code)
{
	switch (code)
	{
		case cudaSuccess:
			return "no error";
		case cudaErrorMemoryAllocation:
			return "out of memory";
		case cudaErrorInsufficientDriver:
			return "CUDA driver version is insufficient for CUDA runtime version";
		case cudaErrorNoDevice:
			return "no CUDA-capable device is detected";
		case cudaErrorInvalidDevice:
			return "invalid device ordinal";
		default:
			return "unspecified launch failure";
	}
}

cudaError_t
cudaGetLastError(void)
{
	return cudaSuccess;
}

cudaError_t
cudaPeekAtLastError(void)
{
	return cudaSuccess;
}
