/*
 * loaded.c: models coming and going.
 *
 * A model is known by its uri and options. It is loaded by a job; requests that name it
 * meanwhile wait. One that could not be loaded is forgotten when its waiters have been told,
 * so that the next request tries again.
 */
#include "engine/engine_private.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_LEN 4096	/* of a decoder whose own limit is greater */
#define DEFAULT_KV_TOKENS 8192	/* at least; a short limit still wants room for many sequences */
#define DEFAULT_MAX_SEQS 32
#define ENCODER_SEQUENCES 64	/* texts of one step */

static bool
same(const char *a, const char *b, uint32_t length)
{
	return strlen(a) == length && memcmp(a, b, length) == 0;
}

loaded_model *
loaded_find(engine *e, const protocol_model *name)
{
	for (loaded_model *m = e->models; m; m = m->next)
	{
		if (!m->unloading && same(m->uri, name->uri, name->uri_length) &&
			same(m->options_text, name->options, name->options_length))
			return m;
	}
	return NULL;
}

/* A cached token's bytes in all layers. */
static uint64_t
token_bytes(const loaded_model *m, const graph_limits *limits, const backend_info *info)
{
	const model_config *c = model_get_config(m->files);

	return 2 * (uint64_t) c->layers * (uint64_t) c->kv_heads * (uint64_t) c->head_size *
		(uint64_t) (limits->kv_f32 ? (int) sizeof(float) : info->kv_bytes);
}

/*
 * Tokens of the cache when nobody says: the usual number; on a device whose memory is for models,
 * seven eighths of what is left beside the weights, up to all sequences at full length.
 */
static int
cache_tokens(const loaded_model *m, const graph_limits *limits, int usual)
{
	const graph_device *device = &m->engine->device;
	uint64_t	most = (uint64_t) limits->max_len * (uint64_t) limits->max_sequences;
	uint64_t	weights;
	uint64_t	left;
	backend_info info;

	device->ops->info(device->device, &info);
	if (!info.dedicated || most <= (uint64_t) usual)
		return usual;
	weights = model_get_bytes(m->files);
	left = info.memory_free > weights ? (info.memory_free - weights) / 8 * 7 : 0;
	left /= token_bytes(m, limits, &info);
	return left < (uint64_t) usual ? usual : left < most ? (int) left : (int) most;
}

/* Models that were made in bf16 may have activations that f16 does not. */
static bool
wants_bf16(const loaded_model *m)
{
	const model_tensor *q = model_get_tensor(m->files, TENSOR_Q, 0);

	return m->options.dtype == DTYPE_BFLOAT16 ||
		(m->options.dtype == DTYPE_AUTO && q != NULL && q->type == TYPE_BF16);
}

/* The limits of the graph, of what the files, the options and the engine say. */
static bool
choose_limits(loaded_model *m, graph_limits *limits, engine_error *error)
{
	const model_config *c = model_get_config(m->files);
	bool		encoder = c->architecture == MODEL_BERT;
	int			own = encoder ? c->max_sequence : c->max_positions;
	int			budget = m->engine->config.max_num_batched_tokens;

	if (m->options.max_model_len > (encoder ? c->max_positions : own))
		return engine_fail(error, ENGINE_INVALID,
						   "max_model_len %d exceeds the model's limit of %d tokens",
						   m->options.max_model_len, encoder ? c->max_positions : own);
	limits->max_len = m->options.max_model_len ? m->options.max_model_len :
		encoder || own < DEFAULT_MAX_LEN ? own : DEFAULT_MAX_LEN;
	limits->max_sequences = m->options.max_num_seqs ? m->options.max_num_seqs :
		encoder ? ENCODER_SEQUENCES : DEFAULT_MAX_SEQS;
	limits->max_rows = budget < limits->max_sequences ? limits->max_sequences : budget;
	if (encoder && limits->max_rows < limits->max_len)
		limits->max_rows = limits->max_len;
	limits->int8_weights = m->options.int8_weights;
	limits->pooling = m->options.pooling >= 0 ? (model_pooling) m->options.pooling : c->pooling;
	limits->kv_f32 = !encoder && m->options.kv_f32;
	limits->bf16 = wants_bf16(m);
	if (!encoder)
	{
		int			usual = limits->max_len * 2 > DEFAULT_KV_TOKENS ? limits->max_len * 2 :
			DEFAULT_KV_TOKENS;
		int			tokens = m->options.kv_cache_tokens ? m->options.kv_cache_tokens :
			cache_tokens(m, limits, usual);

		if (tokens < limits->max_len)
			return engine_fail(error, ENGINE_INVALID,
							   "kv_cache_tokens %d is less than max_model_len %d", tokens,
							   limits->max_len);
		limits->max_outputs = limits->max_sequences +
			(m->options.speculation == SPECULATION_OFF ? 0 : SPECULATE_ROWS);
		if (limits->max_rows < limits->max_outputs)
			limits->max_rows = limits->max_outputs;
		limits->kv_blocks = (tokens + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;
	}
	return true;
}

/* The elements of all tensors, and their bytes as the files have them. */
static uint64_t
count_parameters(const model *m, uint64_t *bytes)
{
	const model_config *c = model_get_config(m);
	uint64_t	total = 0;

	*bytes = 0;
	for (int role = 0; role < TENSOR_ROLES; role++)
	{
		int			layers = role >= TENSOR_ATTENTION_NORM ? c->layers : 1;

		if (role == TENSOR_OUTPUT && c->tied_output)
			continue;
		for (int i = 0; i < layers; i++)
		{
			const model_tensor *t = model_get_tensor(m, (tensor_role) role, i);

			total += t ? (uint64_t) (t->rows * t->columns) : 0;
			*bytes += t ? t->bytes : 0;
		}
	}
	return total;
}

/*
 * Refuses a model for which there is no memory, as far as that can be known before: memory that
 * the kernel promises and does not have would cost the process, and all requests with it.
 */
static bool
check_memory(loaded_model *m, const graph_limits *limits, engine_error *error)
{
	const graph_device *device = &m->engine->device;
	backend_info info;
	uint64_t	weights;
	uint64_t	cache;

	device->ops->info(device->device, &info);
	m->info.parameters = count_parameters(m->files, &weights);
	m->progress.total = weights;
	cache = (uint64_t) limits->kv_blocks * KV_BLOCK_SIZE * token_bytes(m, limits, &info);
	if (weights + cache <= info.memory_free)
		return true;
	return engine_fail(error, ENGINE_NO_MEMORY,
					   "model needs %llu MiB for weights and %llu MiB for its KV cache, but %llu MiB are available",
					   (unsigned long long) (weights >> 20), (unsigned long long) (cache >> 20),
					   (unsigned long long) (info.memory_free >> 20));
}

/* The arrays in which a step is built. */
static bool
allocate_step(loaded_model *m, const graph_limits *limits, engine_error *error)
{
	size_t		rows = (size_t) limits->max_rows;
	size_t		sequences = (size_t) limits->max_sequences;
	size_t		outputs = (size_t) limits->max_outputs;
	size_t		stride = (size_t) (limits->max_len + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;
	bool		encoder = model_get_config(m->files)->architecture == MODEL_BERT;
	int32_t    *tables;

	if (encoder)
		stride = 0;
	m->max_rows = limits->max_rows;
	m->max_sequences = limits->max_sequences;
	m->max_outputs = limits->max_outputs;
	m->table_stride = (int) stride;
	speculate_start(&m->speculation, NULL);
	pace_start(&m->pace, m->engine->config.max_slowdown < 0 ? 0 : m->engine->config.max_slowdown);
	m->rows = calloc(rows * 3, sizeof(*m->rows));
	m->tables = calloc(sequences * (2 + stride) + outputs + 1, sizeof(*m->tables));
	m->members = calloc(sequences, sizeof(*m->members));
	m->params = calloc(outputs + 1, sizeof(*m->params));
	m->draft_params = calloc(outputs + 1, sizeof(*m->draft_params));
	m->results = calloc(outputs + 1, sizeof(*m->results));
	m->vectors = encoder ? calloc(sequences * (size_t) graph_encode_width(m->graph),
								  sizeof(*m->vectors)) : NULL;
	if (!m->rows || !m->tables || !m->members || !m->params || !m->draft_params || !m->results ||
		(encoder && !m->vectors))
		return engine_fail_memory(error, "the steps of a model");
	tables = m->tables;
	m->batch.tokens = m->rows;
	m->batch.positions = m->rows + rows;
	m->batch.types = encoder ? m->rows + 2 * rows : NULL;
	m->batch.start = tables;
	tables += sequences + 1;
	m->outputs.rows = tables;
	tables += outputs;
	m->outputs.params = m->params;
	m->outputs.results = m->results;
	if (!encoder)
	{
		m->batch.context = tables;
		m->batch.block_tables = tables + sequences;
		m->batch.table_stride = (int) stride;
		m->batch.kv = graph_kv(m->graph);
	}
	return true;
}

static void
describe(loaded_model *m, const graph_limits *limits)
{
	const model_config *c = model_get_config(m->files);
	protocol_model_info *info = &m->info;

	info->kind = c->architecture == MODEL_LLAMA ? 2 : c->labels > 0 ? 3 : 1;
	info->dimensions = info->kind == 1 ? (uint32_t) c->hidden_size : 0;
	info->max_model_len = (uint32_t) limits->max_len;
	info->memory_bytes = graph_memory(m->graph);
	strcpy(info->architecture, c->architecture == MODEL_LLAMA ? "llama" : "bert");
	memcpy(info->name, c->name, sizeof(info->name));
	info->name[sizeof(info->name) - 1] = '\0';
}

static bool
load(loaded_model *m, engine_error *error)
{
	graph_limits limits = {0};

	if (!model_options_parse(m->options_text, strlen(m->options_text), &m->options, error))
		return false;
	m->files = model_open(m->uri, error);
	if (m->files == NULL || !choose_limits(m, &limits, error) || !check_memory(m, &limits, error))
		return false;
	m->tokenizer = tokenizer_open(m->files, error);
	if (m->tokenizer == NULL)
		return false;
	if (tokenizer_vocab_size(m->tokenizer) > model_get_config(m->files)->vocab_size)
		return engine_fail(error, ENGINE_CORRUPT,
						   "the tokenizer has %d tokens, the model only %d embeddings",
						   tokenizer_vocab_size(m->tokenizer),
						   model_get_config(m->files)->vocab_size);
	if (model_get_config(m->files)->labels > 1)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "the model's classifier has %d labels, but a reranker has one",
						   model_get_config(m->files)->labels);
	limits.progress = &m->progress;
	m->has_chat = chat_format_of(m->tokenizer, &m->chat, &m->chat_error);
	m->graph = graph_open(&m->engine->device, m->files, &limits, error);
	if (m->graph == NULL)
		return false;
	m->progress.loaded = m->progress.total;
	if (limits.kv_blocks > 0)
	{
		m->kv = kv_open(limits.kv_blocks, error);
		if (m->kv == NULL)
			return false;
	}
	if (!allocate_step(m, &limits, error))
		return false;
	describe(m, &limits);
	/* the device has the weights; pages of the files need not count as the engine's memory */
	model_close_files(m->files);
	return true;
}

static void
run_load(job *j)
{
	loaded_model *m = (loaded_model *) j;

	m->failed = !load(m, &m->error);
}

static void
load_done(job *j)
{
	loaded_model *m = (loaded_model *) j;

	if (m->failed && m->error.code == ENGINE_DIED)
		strcpy(m->engine->device_lost, m->error.message);
	engine_model_ready(m);
}

static loaded_model *
begin_load(engine *e, const protocol_model *name)
{
	loaded_model *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->engine = e;
	m->uri = strndup(name->uri, name->uri_length);
	m->options_text = strndup(name->options, name->options_length);
	if (m->uri == NULL || m->options_text == NULL)
	{
		loaded_close(m);
		return NULL;
	}
	m->job.run = run_load;
	m->job.done = load_done;
	m->job.is_long = true;
	m->users = 1;				/* the load, until engine_model_ready */
	m->next = e->models;
	e->models = m;
	jobs_start(e->jobs, &m->job);
	return m;
}

loaded_model *
loaded_hold(engine *e, const protocol_model *name)
{
	loaded_model *m = loaded_find(e, name);

	if (m == NULL)
		m = begin_load(e, name);
	if (m)
		m->users++;
	return m;
}

/* Takes the model out of the engine and frees it. */
static void
forget(loaded_model *m)
{
	loaded_model **link = &m->engine->models;

	while (*link != m)
		link = &(*link)->next;
	*link = m->next;
	loaded_close(m);
}

void
loaded_leave(loaded_model *m)
{
	engine	   *e = m->engine;

	if (--m->users > 0 || !(m->unloading || m->failed))
		return;
	if (m->unloading)
		engine_answer_done(e, m->unload, &(protocol_usage) {0});
	forget(m);
}

void
loaded_close(loaded_model *m)
{
	if (m == NULL)
		return;
	graph_close(m->graph);
	kv_close(m->kv);
	tokenizer_close(m->tokenizer);
	model_close(m->files);
	model_options_free(&m->options);
	free(m->rows);
	free(m->tables);
	free(m->members);
	free(m->params);
	free(m->draft_params);
	free(m->results);
	free(m->vectors);
	free(m->uri);
	free(m->options_text);
	free(m);
}
