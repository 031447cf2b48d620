/*
 * engine_private.h: requests, sequences and loaded models, for the files of the engine.
 *
 *   engine.c      accepting, cancelling, finishing of requests; the step
 *   options.c     what a model's options say
 *   loaded.c      models coming and going
 *   prepare.c     a request's payload into sequences of tokens
 *   queue.c       the order in which sequences wait and run
 *   roles.c       what each role holds, and its limits
 *   schedule.c    which sequences a step computes
 *   speculate.c   guesses at the next tokens
 *   meter.c       histograms and rates
 *   pace.c        how much of a prompt goes into a step
 *   compute.c     one step of one model, and what comes of it
 *   vector_set.c  sets of vectors, the nearest of them
 *   statistics.c  the STATISTICS document
 *
 * Everything here belongs to the thread that calls the engine, but for a request or a
 * model whose job runs: until the job is done it belongs to the job.
 */
#ifndef RAG_ENGINE_ENGINE_PRIVATE_H
#define RAG_ENGINE_ENGINE_PRIVATE_H

#include <stdatomic.h>

#include "engine/chat.h"
#include "engine/engine.h"
#include "engine/graph.h"
#include "engine/jobs.h"
#include "engine/kv.h"
#include "engine/meter.h"
#include "engine/pace.h"
#include "engine/speculate.h"
#include "engine/text_output.h"

/*
 * Texts that are split into tokens between two steps: about 10 ms of work. Requests beyond wait for
 * the next step; one that is longer by itself is a job's.
 */
#define ENGINE_INLINE_BYTES (64 * 1024)

#define ENGINE_ID_BITS 10

typedef struct request request;
typedef struct sequence sequence;
typedef struct loaded_model loaded_model;
typedef struct vector_set vector_set;
typedef struct sequence_queue sequence_queue;

/* One text to encode, or one conversation to go on with. */
struct sequence
{
	request    *owner;
	uint32_t	index;			/* of the input in its request */
	int64_t		due;			/* its place among others: in steps of the model */
	uint64_t	held;			/* tokens that it counts for its role; 0: not begun */
	sequence_queue *queue;		/* of the model, or NULL */
	sequence   *next;
	sequence   *previous;

	int32_t    *tokens;			/* prompt, then what was generated */
	int32_t    *types;			/* rerank: token types; else NULL */
	int			count;
	int			capacity;
	int			prompt;

	/* generation */
	int			computed;		/* tokens whose keys and values are in the cache */
	int			registered;		/* full blocks known to the prefix index */
	uint64_t	chain;			/* identity of the last of them */
	int		   *blocks;
	int			block_count;
	int			block_capacity;
	int			scheduled;		/* tokens computed by the step being built */
	int			drafted;		/* guesses behind the last token that it computes too */
	speculation speculation;
	sampler_params sampler;
	int32_t    *seen;			/* with penalties: distinct ids, ascending ... */
	int32_t    *seen_output;	/* ... and how often each was generated */
	text_output output;
	uint64_t	last_us;		/* when it got its last token; 0: none yet */
};

struct sequence_queue
{
	sequence   *first;
	sequence   *last;
	sequence   *look;			/* where the search of schedule.c goes on; NULL: nowhere yet */
	int			count;
};

typedef struct role_statistics
{
	uint64_t	requests;		/* finished */
	uint64_t	prompt_tokens;
	uint64_t	cached_tokens;
	uint64_t	generated_tokens;
	uint64_t	queue_us;
	uint64_t	compute_us;
} role_statistics;

typedef struct role_account role_account;
struct role_account
{
	role_account *next;
	uint32_t	role;
	uint32_t	users;			/* requests, begun or not */
	uint32_t	requests;		/* begun */
	uint64_t	tokens;			/* of begun sequences */
	role_statistics statistics;
};

typedef enum request_state
{
	REQUEST_WAITS,				/* for its model, or its turn to be prepared */
	REQUEST_PREPARES,			/* a job splits its texts */
	REQUEST_RUNS				/* its sequences are in the model's queues */
} request_state;

struct request
{
	job			job;			/* first: a job of a request is the request */
	engine	   *engine;
	request    *next;
	request    *previous;
	request    *next_by_id;		/* of those in its bucket */
	uint64_t	id;
	uint64_t	serial;			/* order of arrival */
	protocol_type type;
	request_state state;
	atomic_bool canceled;		/* while a job has it, which reads this */
	const tokenizer *tokenizer; /* while it is prepared: the model's, or a view of it */
	char	   *payload;		/* the strings below point into it */
	size_t		length;
	loaded_model *model;
	protocol_caller caller;
	role_account *role;
	bool		begun;			/* a step has computed some of it */
	engine_error error;			/* of a job */
	bool		failed;

	sequence   *sequences;
	uint32_t	sequence_count;
	uint32_t	remaining;
	uint64_t	tokens;			/* COUNT: the answer */

	uint32_t	dimensions;		/* EMBED: wanted, 0: all */
	protocol_sampling sampling; /* GENERATE */
	float	   *scores;			/* RERANK: [sequence_count] */
	protocol_usage usage;
	int64_t		arrived_step;	/* of the model */
	uint64_t	arrived_us;
	uint64_t	started_us;		/* 0: not in a step yet */
};

typedef enum speculation_choice
{
	SPECULATION_AUTO,			/* where it pays */
	SPECULATION_OFF,
	SPECULATION_ALWAYS			/* wherever there is a guess */
} speculation_choice;

typedef enum dtype_choice
{
	DTYPE_AUTO,					/* as the file's matrices */
	DTYPE_FLOAT16,
	DTYPE_BFLOAT16
} dtype_choice;

typedef struct model_options
{
	int			max_model_len;	/* 0: not said */
	int			max_num_seqs;
	int			kv_cache_tokens;
	int			pooling;		/* model_pooling, or -1 */
	bool		truncate;		/* overflow = truncate */
	bool		kv_f32;			/* kv_cache_type = f32 */
	bool		int8_weights;	/* weights = int8 */
	dtype_choice dtype;			/* of activations on a device that has both */
	speculation_choice speculation;
	char	   *query_prefix;	/* "" */
	char	   *document_prefix;
} model_options;

typedef enum loaded_state
{
	LOADED_LOADING, LOADED_READY
} loaded_state;

typedef struct loaded_statistics
{
	uint64_t	requests;
	uint64_t	prompt_tokens;
	uint64_t	generated_tokens;
	uint64_t	embedded_tokens;
	uint64_t	prefix_hit_tokens;
	uint64_t	prefix_query_tokens;
	uint64_t	steps;
	uint64_t	batched_sequences;	/* of all steps */
	uint64_t	batched_rows;
	uint64_t	preemptions;
	uint64_t	drafted_tokens;
	uint64_t	accepted_tokens;
	uint64_t	compute_us;
	histogram	first_token;	/* from a request's arrival */
	histogram	token;			/* from one token to the next */
	rate		rate;			/* tokens generated or embedded */
} loaded_statistics;

struct loaded_model
{
	job			job;			/* first */
	engine	   *engine;
	loaded_model *next;
	loaded_state state;
	char	   *uri;
	char	   *options_text;
	engine_error error;
	bool		failed;
	graph_progress progress;	/* of its load */
	bool		unloading;
	uint64_t	unload;			/* if so, for this request, which waits for the last user */
	int			users;			/* what holds it: requests, its load, a step */

	model_options options;
	model	   *files;
	tokenizer  *tokenizer;
	bool		has_chat;
	chat_format chat;
	engine_error chat_error;
	graph	   *graph;
	kv_blocks  *kv;
	protocol_model_info info;
	loaded_statistics statistics;
	int64_t		clock;			/* steps since it was loaded */

	/* the next step, built here */
	sequence_queue waiting;
	sequence_queue running;
	uint64_t	step_us;		/* when the last step was computed */
	pace		pace;
	speculation speculation;	/* of all sequences */
	int			max_rows;
	int			max_sequences;
	int			decode_sequences;	/* of the batch, that generate */
	int			decode_rows;	/* of the batch, theirs: the others are of prompts */
	int			max_outputs;
	int			table_stride;
	backend_batch batch;
	int32_t    *rows;			/* [3][max_rows] tokens, positions, types */
	int32_t    *tables;			/* start, context, block tables, output rows */
	sequence  **members;		/* [max_sequences] of the batch */
	const sampler_params **params;	/* [max_outputs] */
	sampler_params *draft_params;	/* [max_outputs] of those behind guesses */
	sampler_result *results;	/* [max_outputs] */
	float	   *vectors;		/* [max_sequences, width] */
	graph_outputs outputs;
};

struct engine
{
	engine_config config;
	graph_device device;
	char		device_name[128];
	void	   *device_library;
	char		device_note[ENGINE_MESSAGE_SIZE];
	char		device_lost[ENGINE_MESSAGE_SIZE];
	int			threads;		/* that compute */
	bool		dedicated;		/* the device is no CPU */
	jobs	   *jobs;
	vector_set *sets;
	int			set_count;
	loaded_model *models;
	request    *first;
	request    *last;
	request    *by_id[1 << ENGINE_ID_BITS]; /* hashed: many may be canceled at once */
	int			request_count;
	int			queued;			/* of them, not begun */
	size_t		taken;			/* bytes of requests since the last step */
	uint64_t	progress_us;	/* of the last PROGRESS */
	bool		unprepared;		/* some whose model is there may wait to be prepared */
	role_account *roles;
	int			role_count;
	uint64_t	next_serial;
	protocol_writer output;
};

/* options.c: false and *error for what is not known or out of range */
extern bool model_options_parse(const char *text, size_t length, model_options *out,
								engine_error *error);
extern void model_options_free(model_options *o);

/* loaded.c */
extern loaded_model *loaded_find(engine *e, const protocol_model *name);
/* Finds it or begins to load it; NULL: no memory. The caller becomes a user. */
extern loaded_model *loaded_hold(engine *e, const protocol_model *name);
extern void loaded_leave(loaded_model *m);
extern void loaded_close(loaded_model *m);

/* prepare.c: everything between a payload and sequences that can be queued */
extern bool request_needs_job(const request *r);
extern bool request_prepare(request *r, engine_error *error);
extern void request_free(request *r);

/* queue.c */
extern void queue_append(sequence_queue *q, sequence *s);
extern void queue_remove(sequence *s);
extern bool queue_goes_before(const sequence *a, const sequence *b);
/* To their places: see there. */
extern void queue_insert(sequence_queue *q, sequence *s);
extern void queue_insert_request(sequence_queue *q, request *r);

/* roles.c: the account of a role, for a request of its own; NULL: no memory */
extern role_account *role_hold(engine *e, uint32_t role);
extern void role_leave(request *r);
/* Whether its newest request, which it counts and the engine does not yet, has a place in the queue. */
extern bool role_may_wait(const engine *e, const role_account *a);
extern void roles_close(engine *e);
/* Whether the limits let s begin now; it begins; it gives back its place for a while or for good. */
extern bool role_allows(const sequence *s);
extern void role_begin(sequence *s);
extern void role_pause(sequence *s);
/* The request is finished: to its role's statistics. */
extern void role_count(request *r);

/* schedule.c */
extern bool schedule_encoder(loaded_model *m);
extern bool schedule_decoder(loaded_model *m);
/* Gives back the blocks; what was computed is forgotten. */
extern void sequence_release(loaded_model *m, sequence *s);

/* engine.c: rows of texts that may be computed while others generate; INT_MAX: any number */
extern int	engine_encoder_rows(const loaded_model *m);

/* compute.c: true if something was computed */
extern bool compute_step(loaded_model *m);

/* engine.c */
extern uint64_t engine_now(void);	/* microseconds */
extern void engine_answer_error(engine *e, uint64_t id, const engine_error *error);
extern void engine_answer_done(engine *e, uint64_t id, const protocol_usage *usage);
extern void request_fail(request *r, const engine_error *error);
extern void request_finish(request *r);
extern void engine_model_ready(loaded_model *m);

/* vector_set.c: requests of these types; false and *error: refused */
extern bool vector_set_open(engine *e, uint64_t id, const char *payload, size_t length, engine_error *error);
extern bool vector_set_add(engine *e, uint64_t id, const char *payload, size_t length, engine_error *error);
/* True if it was one of theirs, which is answered with the error. */
extern bool vector_set_cancel(engine *e, uint64_t id, const engine_error *error);
/* True if something was computed. */
extern bool vector_sets_step(engine *e);
extern void vector_sets_close(engine *e);

/* statistics.c */
extern void statistics_write(engine *e, uint64_t id);
/* Counts begin anew; what runs goes on. */
extern void statistics_reset(engine *e);
/* PROGRESS, when there are requests that have begun and the last one is some time ago. */
extern void statistics_progress(engine *e);

#endif							/* RAG_ENGINE_ENGINE_PRIVATE_H */
