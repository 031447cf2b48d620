/*
 * protocol.h: the frames between a caller and rag-engine.
 *
 *     protocol_writer w;
 *     protocol_begin(&w, PROTOCOL_EMBED, request);
 *     protocol_put_model(&w, uri, options);
 *     protocol_put_u32(&w, 1);
 *     protocol_put_string(&w, text, length);
 *     if (protocol_end(&w)) write(fd, w.data, w.length);
 *
 * A frame is a 16-byte header and a payload, in host byte order: both ends are on one
 * machine and from one build (HELLO carries the version). The stream is reliable
 * (AF_UNIX SOCK_STREAM); each side reads frames with bounds on everything and takes
 * nothing that it reads for true. This file only packs and unpacks: it is linked into
 * the PostgreSQL module as well, so it neither allocates behind the caller's back nor
 * prints.
 *
 * The worker starts "rag-engine --threads N --device auto|cpu|cuda --max-batched-tokens N
 * --max-queue N --max-slowdown F --progress MS" (0: the engine's own choice; no progress) with
 * the stream as descriptor 0; what it writes on its standard output or error becomes lines of
 * the server's log. The first frame is HELLO, or ERROR of request 0 if it cannot begin. It ends at
 * the end of the stream.
 *
 * A string is u32 length and bytes (no NUL). Request numbers are the caller's;
 * frames of one request arrive in order, those of different requests interleave.
 *
 * Caller to engine                         answers
 *   LOAD    model                            LOADED info | ERROR
 *   UNLOAD  model                            DONE | ERROR     (waits for running requests)
 *   EMBED   model, caller, u32 flags,        VECTOR ... then DONE usage | ERROR
 *           u32 dims, u32 n, n strings
 *   RERANK  model, caller, query,            VECTOR (one f32 per document) then DONE | ERROR
 *           u32 n, n strings
 *   COUNT   model, caller, text              COUNTED u64 | ERROR
 *   GENERATE model, caller, sampling,        PIECE ... then DONE usage | ERROR
 *           messages
 *   CANCEL  (request: which)                 ERROR canceled, if it was still running
 *   STATS                                    STATISTICS text (JSON, below)
 *   RESET                                    DONE: what STATS counts begins anew
 *   PING                                     DONE, after the step that runs
 *   VECTORS u64 name, u32 flags,             nothing: a set of vectors that is there until it is canceled; or ERROR
 *           u32 distance, u32 dims, u32 k
 *   NEAREST u64 name, u32 n, n * dims f32    NEIGHBOURS ... then DONE | ERROR: adds vectors to the set, numbered from 0
 *                                            on, and tells of each the k nearest of those before it
 * With --progress, while requests run:         PROGRESS (of request 0) u32 n, n protocol_progress: all that have begun
 * A model not loaded yet is loaded first; requests to other models go on meanwhile.
 */
#ifndef RAG_ENGINE_PROTOCOL_H
#define RAG_ENGINE_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/error.h"

#define PROTOCOL_VERSION 2
#define PROTOCOL_MAX_PAYLOAD (256u << 20)

typedef enum protocol_type
{
	/* caller to engine */
	PROTOCOL_LOAD = 1,
	PROTOCOL_UNLOAD = 2,
	PROTOCOL_EMBED = 3,
	PROTOCOL_RERANK = 4,
	PROTOCOL_COUNT = 5,
	PROTOCOL_GENERATE = 6,
	PROTOCOL_CANCEL = 7,
	PROTOCOL_STATS = 8,
	PROTOCOL_RESET = 9,
	PROTOCOL_PING = 10,
	PROTOCOL_VECTORS = 11,
	PROTOCOL_NEAREST = 12,
	/* engine to caller */
	PROTOCOL_HELLO = 64,		/* u32 version, string device: the first frame, request 0 */
	PROTOCOL_LOADED = 65,		/* protocol_model_info */
	PROTOCOL_VECTOR = 66,		/* u32 index of the input, u32 n, n f32 */
	PROTOCOL_COUNTED = 67,		/* u64 tokens */
	PROTOCOL_PIECE = 68,		/* string: whole UTF-8 characters, stop strings held back */
	PROTOCOL_STATISTICS = 69,	/* string: JSON */
	PROTOCOL_DONE = 70,			/* protocol_usage; the request is over */
	PROTOCOL_ERROR = 71,		/* u32 engine_code, string message; the request is over */
	PROTOCOL_PROGRESS = 72,
	PROTOCOL_NEIGHBOURS = 73	/* u32 index of the first vector, u32 n, n u32: k of each, PROTOCOL_NO_VECTOR if there are fewer */
} protocol_type;

typedef struct protocol_header
{
	uint32_t	length;			/* of the payload, <= PROTOCOL_MAX_PAYLOAD */
	uint32_t	type;
	uint64_t	request;
} protocol_header;

/* How a model is named on the wire: by its files, so that databases share one copy. */
typedef struct protocol_model
{
	const char *uri;			/* absolute path of a file or folder */
	uint32_t	uri_length;
	const char *options;		/* JSON object: max_model_len, overflow, kv_cache_tokens ... */
	uint32_t	options_length;
} protocol_model;

/* Who asks, and how much the engine may do for him at a time. */
typedef struct protocol_caller
{
	uint32_t	role;			/* a number that stands for him */
	int32_t		priority;		/* lower runs first; 0 is usual */
	uint32_t	max_requests;	/* of the role, begun and not finished; 0: any number */
	uint32_t	max_tokens;		/* of the role, that begun sequences may hold; 0: any number */
} protocol_caller;

/* of a priority, either way */
#define PROTOCOL_MAX_PRIORITY 20

typedef struct protocol_model_info
{
	uint32_t	kind;			/* 1 embedding, 2 generation, 3 rerank */
	uint32_t	dimensions;		/* of an embedding; 0 else */
	uint32_t	max_model_len;	/* tokens */
	uint64_t	parameters;
	uint64_t	memory_bytes;	/* weights and KV cache */
	char		architecture[32];	/* "bert", "llama" */
	char		name[128];
} protocol_model_info;

/* Flags of EMBED: which prefix of the model's options goes before each text */
enum
{
	PROTOCOL_EMBED_PLAIN = 0,
	PROTOCOL_EMBED_QUERY = 1,	/* options.query_prefix */
	PROTOCOL_EMBED_DOCUMENT = 2 /* options.document_prefix */
};

/* VECTORS: flags, and the distance, as backend_distance has it */
#define PROTOCOL_VECTORS_DEDICATED 1u	/* by a device that is made for it, or not at all */

enum
{
	PROTOCOL_DISTANCE_L2, PROTOCOL_DISTANCE_INNER_PRODUCT, PROTOCOL_DISTANCE_COSINE
};

#define PROTOCOL_MAX_DIMENSIONS 65536u
#define PROTOCOL_NO_VECTOR UINT32_MAX

typedef enum protocol_finish
{
	PROTOCOL_FINISH_STOP = 1,	/* an end token or a stop string */
	PROTOCOL_FINISH_LENGTH = 2	/* max_tokens or the model's limit */
} protocol_finish;

typedef struct protocol_usage
{
	uint32_t	finish;			/* protocol_finish, 0 where it makes no sense */
	uint32_t	prompt_tokens;
	uint32_t	cached_tokens;	/* of the prompt, found in the prefix cache */
	uint32_t	completion_tokens;
	uint64_t	queue_us;		/* from arrival to the first step */
	uint64_t	prompt_us;		/* from the first step to the first token */
	uint64_t	compute_us;		/* from the first step to the end */
} protocol_usage;

/* A request that has begun and goes on. */
typedef struct protocol_progress
{
	uint64_t	request;
	protocol_usage usage;		/* so far */
} protocol_progress;

#define PROTOCOL_MAX_STOPS 16

typedef struct protocol_sampling
{
	uint32_t	max_tokens;		/* 0: to the model's limit */
	float		temperature;
	float		top_p;
	float		min_p;
	uint32_t	top_k;
	float		repetition_penalty;
	float		presence_penalty;
	float		frequency_penalty;
	uint64_t	seed;
	uint32_t	flags;			/* PROTOCOL_GENERATE_* */
	uint32_t	stops;
	struct
	{
		const char *data;
		uint32_t	length;
	}			stop[PROTOCOL_MAX_STOPS];
} protocol_sampling;

enum
{
	PROTOCOL_GENERATE_RAW = 1,	/* one message whose content is the prompt, no chat template */
	PROTOCOL_GENERATE_STREAM = 2,	/* send a PIECE per step; else one PIECE at the end */
	PROTOCOL_GENERATE_PLAIN = 4 /* a token at a time, whatever the model's option "speculation" says */
};

typedef struct protocol_message
{
	const char *role;
	uint32_t	role_length;
	const char *content;
	uint32_t	content_length;
} protocol_message;

/*
 * Writing. data grows through resize (realloc's contract: NULL on failure, the old block
 * stays), which PostgreSQL rooms set to a palloc-based one; failed is sticky.
 */
typedef struct protocol_writer
{
	char	   *data;
	size_t		length;
	size_t		capacity;
	size_t		frame;			/* offset of the frame begun last */
	void	   *(*resize) (void *old, size_t size);	/* NULL: realloc */
	bool		failed;			/* no memory, or larger than PROTOCOL_MAX_PAYLOAD */
} protocol_writer;

/* Starts a frame at the end of what is there: frames may be queued one after the other. */
extern void protocol_begin(protocol_writer *w, protocol_type type, uint64_t request);
extern void protocol_put_u32(protocol_writer *w, uint32_t value);
extern void protocol_put_u64(protocol_writer *w, uint64_t value);
extern void protocol_put_f32s(protocol_writer *w, const float *values, size_t count);
extern void protocol_put_string(protocol_writer *w, const char *data, size_t length);
extern void protocol_put_model(protocol_writer *w, const protocol_model *model);
extern void protocol_put_caller(protocol_writer *w, const protocol_caller *caller);
extern void protocol_put_info(protocol_writer *w, const protocol_model_info *info);
extern void protocol_put_usage(protocol_writer *w, const protocol_usage *usage);
extern void protocol_put_sampling(protocol_writer *w, const protocol_sampling *sampling);
extern void protocol_put_messages(protocol_writer *w, const protocol_message *messages,
								  uint32_t count);
/* Completes the frame begun last: fills in its length. False if the writer has failed. */
extern bool protocol_end(protocol_writer *w);

/*
 * Reading a payload. Strings point into it. failed is sticky; after it values are 0 and
 * empty, so a caller reads everything and then tests once with protocol_finish_read().
 */
typedef struct protocol_reader
{
	const char *data;
	size_t		length;
	size_t		offset;
	bool		failed;
} protocol_reader;

extern uint32_t protocol_get_u32(protocol_reader *r);
extern uint64_t protocol_get_u64(protocol_reader *r);
/* n f32 values, not aligned; NULL when they are not there */
extern const char *protocol_get_f32s(protocol_reader *r, size_t count);
extern const char *protocol_get_string(protocol_reader *r, uint32_t *length);
extern void protocol_get_model(protocol_reader *r, protocol_model *model);
extern void protocol_get_caller(protocol_reader *r, protocol_caller *caller);
extern void protocol_get_info(protocol_reader *r, protocol_model_info *info);
extern void protocol_get_usage(protocol_reader *r, protocol_usage *usage);
extern void protocol_get_sampling(protocol_reader *r, protocol_sampling *sampling);
/* The number of messages (each >= 8 bytes of payload); then one call per message. */
extern uint32_t protocol_get_count(protocol_reader *r, size_t least_bytes);
extern void protocol_get_message(protocol_reader *r, protocol_message *message);
/* True if nothing failed and everything was read. */
extern bool protocol_finish_read(const protocol_reader *r);

/* STATISTICS: {"device": text, "threads": n, "latency_ms": [bounds], "models": [{"uri", "options", "name", "architecture",
 * "kind", "state": "loading"|"ready", "load_bytes", "loaded_bytes", "memory_bytes", "kv_blocks", "kv_blocks_used", "kv_block_tokens", "prefix_hit_tokens",
 * "prefix_query_tokens", "running", "waiting", "requests", "prompt_tokens", "generated_tokens",
 * "embedded_tokens", "steps", "batched_sequences", "batched_rows", "preemptions", "drafted_tokens", "accepted_tokens",
 * "compute_us", "tokens_per_second", "first_token": [counts], "token": [counts]}], "roles": [{"role", "waiting", "running",
 * "held_tokens", "requests", "prompt_tokens", "cached_tokens", "generated_tokens", "queue_us", "compute_us"}]} */

#endif							/* RAG_ENGINE_PROTOCOL_H */
