/*
 * test_golden_llama.c: the Llama graph against transformers (tiny models, f32) and llama.cpp
 * (SmolLM2, by teacher forcing: where two tokens are nearly as likely, the engines may part, so
 * the golden ids are fed and the choice is compared where the golden margin is clear).
 */
#include "tap.h"

#include <math.h>

#include "golden.h"

static int32_t in_order[4096];

static int
argmax(const float *logits, int n)
{
	int			best = 0;

	for (int i = 1; i < n; i++)
		if (logits[i] > logits[best])
			best = i;
	return best;
}

static void
compare_tiny(golden_model *g, const json_value *golden, double tolerance)
{
	int			count,
				n;
	int			vocab = model_get_config(g->files)->vocab_size;
	int32_t    *ids = golden_ids(json_get(golden, "ids"), &count);
	int32_t    *best = golden_ids(json_get(golden, "argmax"), &n);
	float	   *logits = malloc(sizeof(float) * (size_t) count * (size_t) vocab);
	int			same = 0;

	ok(golden_logits(g, ids, count, 0, 64, in_order, logits), "the forward pass runs");
	for (int i = 0; i < n; i++)
		same += argmax(logits + (size_t) i * (size_t) vocab, vocab) == best[i];
	ok(same == n, "the greatest logit at each of %d positions", n);
	for (const json_value *p = json_get(golden, "logits_pos")->child; p; p = p->next)
	{
		const float *row = logits + (size_t) atoi(p->key) * (size_t) vocab;
		double		worst = 0;
		int			i = 0;

		for (const json_value *v = p->child; v; v = v->next, i++)
			worst = fmax(worst, fabs(v->number - row[i]));
		ok(i == vocab && worst < tolerance, "logits at position %s within %g (%.2g)", p->key, tolerance,
		   worst);
	}
	free(logits);
	free(ids);
	free(best);
}

/* The same bits, however the prompt is cut and wherever its blocks lie. */
static void
compare_chunks(golden_model *g, const json_value *golden)
{
	int			count;
	int			vocab = model_get_config(g->files)->vocab_size;
	int32_t    *ids = golden_ids(json_get(golden, "ids"), &count);
	size_t		size = sizeof(float) * (size_t) count * (size_t) vocab;
	float	   *whole = malloc(size);
	float	   *parts = malloc(size);
	int32_t		reversed[4096];
	static const int chunks[] = {1, 7, 16, 33};
	int			blocks = (count + KV_BLOCK_SIZE - 1) / KV_BLOCK_SIZE;

	for (int i = 0; i < blocks; i++)
		reversed[i] = blocks - 1 - i;
	golden_logits(g, ids, count, 0, 64, in_order, whole);
	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
	{
		memset(parts, 0, size);
		golden_logits(g, ids, count, 0, chunks[i], reversed, parts);
		ok(memcmp(whole, parts, size) == 0, "chunks of %d in other blocks: the same bits", chunks[i]);
	}
	free(whole);
	free(parts);
	free(ids);
}

static void
test_tiny(const char *name, bool kv_f32)
{
	char		path[256];
	golden_model g;
	json	   *golden;

	snprintf(path, sizeof(path), "test/data/tiny-models/%s.json", name);
	golden = golden_read(path);
	snprintf(path, sizeof(path), "test/data/tiny-models/%s", name);
	if (golden && golden_open(&g, path, 512, POOLING_NONE, kv_f32))
	{
		/* the reference keeps keys and values in f32; f16 costs what its rounding costs */
		compare_tiny(&g, json_root(golden), kv_f32 ? 1e-3 : 4e-3);
		compare_chunks(&g, json_root(golden));
		golden_close(&g);
	}
	json_free(golden);
}

static const char *const weight_types[] = {"F32", "Q8_0", "Q4_1", "Q4_0"};
#define WEIGHT_TYPES 4

/* The golden logit of id in the first step by this weight type, or NAN. */
static double
top5_logit(const json_value *item, int id)
{
	for (const json_value *v = json_get(item, "top5_first")->child; v; v = v->next)
	{
		if ((int) json_get_number(v, "id", -1) == id)
			return json_get_number(v, "logit", NAN);
	}
	return NAN;
}

/*
 * Our log-probabilities of the first token's top 5 lie as near to the F32 golden ones as
 * those of llama.cpp's own weight types do.
 */
static void
compare_first(const json_value *const *items, const float *logits, int vocab, int prompt)
{
	double		ours = 0,
				spread = 0;
	double		sum = 0;
	float		max = logits[argmax(logits, vocab)];

	for (int i = 0; i < vocab; i++)
		sum += exp(logits[i] - max);
	for (const json_value *v = json_get(items[0], "top5_first")->child; v; v = v->next)
	{
		int			id = (int) json_get_number(v, "id", 0);
		double		reference = json_get_number(v, "logit", 0) -
			json_get_number(items[0], "logsumexp_first", 0);

		ours = fmax(ours, fabs(logits[id] - (max + log(sum)) - reference));
		for (int t = 1; t < WEIGHT_TYPES; t++)
		{
			double		other = top5_logit(items[t], id) -
				json_get_number(items[t], "logsumexp_first", 0);

			if (!isnan(other))
				spread = fmax(spread, fabs(other - reference));
		}
	}
	ok(ours <= spread, "prompt %d: the first token's top 5 within the golden spread (%.3f of %.3f)",
	   prompt, ours, spread);
}

static void
compare_choices(golden_model *g, const char *type, const json_value *item, int prompt,
				float *logits)
{
	int			prompt_count,
				count,
				wrong = 0,
				compared = 0,
				i = 0;
	int			vocab = model_get_config(g->files)->vocab_size;
	int32_t    *ids = golden_ids(json_get(item, "prompt_ids"), &prompt_count);
	int32_t    *output = golden_ids(json_get(item, "gen_ids"), &count);
	int32_t    *all = malloc(sizeof(int32_t) * (size_t) (prompt_count + count));

	memcpy(all, ids, sizeof(int32_t) * (size_t) prompt_count);
	memcpy(all + prompt_count, output, sizeof(int32_t) * (size_t) count);
	golden_logits(g, all, prompt_count + count - 1, prompt_count - 1, 64, in_order, logits);
	for (const json_value *m = json_get(item, "top1_top2_margin")->child; m; m = m->next, i++)
	{
		if (m->number <= 0.25)
			continue;
		compared++;
		wrong += argmax(logits + (size_t) i * (size_t) vocab, vocab) != output[i];
	}
	ok(wrong == 0 && compared > 0, "%s, prompt %d: the same choice at all %d clear steps", type, prompt,
	   compared);
	free(all);
	free(ids);
	free(output);
}

static void
test_smollm2(const char *models)
{
	char		path[1024];
	golden_model g;
	json	   *golden[WEIGHT_TYPES];
	float	   *logits;

	snprintf(path, sizeof(path), "%s/smollm2.gguf", models);
	if (!golden_open(&g, path, 1024, POOLING_NONE, false))
		return;
	logits = malloc(sizeof(float) * 128 * (size_t) model_get_config(g.files)->vocab_size);
	for (int t = 0; t < WEIGHT_TYPES; t++)
	{
		snprintf(path, sizeof(path), "test/data/generations/greedy_smollm2_%s.json", weight_types[t]);
		golden[t] = golden_read(path);
		if (golden[t] == NULL)
			return;
	}
	for (int prompt = 0; prompt < (int) json_root(golden[0])->count; prompt++)
	{
		const json_value *items[WEIGHT_TYPES];

		for (int t = 0; t < WEIGHT_TYPES; t++)
		{
			items[t] = json_root(golden[t])->child;
			for (int i = 0; i < prompt; i++)
				items[t] = items[t]->next;
		}
		/* the file's own weights: F32 arithmetic and llama.cpp's */
		compare_choices(&g, "F32", items[0], prompt, logits);
		compare_first(items, logits, model_get_config(g.files)->vocab_size, prompt);
		compare_choices(&g, "Q4_1", items[2], prompt, logits);
	}
	for (int t = 0; t < WEIGHT_TYPES; t++)
		json_free(golden[t]);
	free(logits);
	golden_close(&g);
}

int
main(void)
{
	const char *models = getenv("RAG_TEST_MODELS");

	for (int i = 0; i < 4096; i++)
		in_order[i] = i;
	for (int kv_f32 = 0; kv_f32 <= 1; kv_f32++)
	{
		test_tiny("tiny_llama_gqa_tied", kv_f32);
		test_tiny("tiny_llama_rope_llama3", kv_f32);
	}
	if (models && *models)
		test_smollm2(models);
	else
		tap_skip("SmolLM2: RAG_TEST_MODELS is not set");
	return tap_done();
}
