/*
 * check_models.c: whole models, CPU against CUDA: the same vectors and the same choices.
 */
#include "tap.h"

#include <math.h>
#include <stdlib.h>

#include "engine/backend.h"

extern const backend_ops *rag_backend(void);

#define GOLDEN_BACKEND (on_cuda ? rag_backend() : backend_cpu())
static bool on_cuda;
#include "golden.h"

#define TINY_GQA "test/data/tiny-models/tiny_llama_gqa_tied"
#define TINY_ROPE "test/data/tiny-models/tiny_llama_rope_llama3"

static int32_t in_order[4096];

static int
argmax(const float *logits, int n)
{
	int			best = 0;

	for (int i = 1; i < n; i++)
		best = logits[i] > logits[best] ? i : best;
	return best;
}

/* Greatest difference of two sets of logits, and the positions where the choices differ although the
 * CPU's first two are further apart than the margin. */
static void
compare_logits(const char *name, const float *cpu, const float *cuda, int rows, int vocab,
			   double tolerance, double margin)
{
	double		worst = 0;
	int			wrong = 0;
	int			clear = 0;
	bool		finite = true;

	for (int r = 0; r < rows; r++)
	{
		const float *a = cpu + (size_t) r * (size_t) vocab;
		const float *b = cuda + (size_t) r * (size_t) vocab;
		int			best = argmax(a, vocab);
		float		second = -INFINITY;

		for (int i = 0; i < vocab; i++)
		{
			worst = fmax(worst, fabs((double) a[i] - b[i]));
			finite &= isfinite(b[i]) != 0;
			second = i != best && a[i] > second ? a[i] : second;
		}
		if (a[best] - second > margin)
		{
			clear++;
			wrong += argmax(b, vocab) != best;
		}
	}
	ok(finite && worst < tolerance, "%s: logits within %g (%.3g)", name, tolerance, worst);
	ok(wrong == 0, "%s: the same choice at %d of %d positions that are clear", name, clear, rows);
}

static float *
logits_of(const char *path, graph_limits limits, const int32_t *ids, int count, int chunk, bool cuda)
{
	golden_model g;
	float	   *logits = NULL;

	on_cuda = cuda;
	limits.max_len = 512;
	if (golden_open_with(&g, path, limits))
	{
		logits = calloc((size_t) count * (size_t) model_get_config(g.files)->vocab_size,
						sizeof(float));
		if (!golden_logits(&g, ids, count, 0, chunk, in_order, logits))
		{
			tap_note("%s", g.device.ops->message(g.device.device));
			free(logits);
			logits = NULL;
		}
	}
	golden_close(&g);
	return logits;
}

static void
test_decoder(const char *path, int count, int chunk, graph_limits limits, double tolerance)
{
	int			vocab = 100;
	int32_t    *ids = malloc(sizeof(int32_t) * (size_t) count);
	float	   *cpu;
	float	   *cuda;
	char		name[400];

	for (int i = 0; i < count; i++)
		ids[i] = (i * 7919 + 13) % vocab;
	cpu = logits_of(path, limits, ids, count, chunk, false);
	cuda = logits_of(path, limits, ids, count, chunk, true);
	snprintf(name, sizeof(name), "%s, chunks of %d%s%s", path, chunk, limits.kv_f32 ? ", f32 cache" : "",
			 limits.bf16 ? ", bf16" : "");
	if (ok(cpu != NULL && cuda != NULL, "%s: both run", name))
		compare_logits(name, cpu, cuda, count, vocab, tolerance, 2 * tolerance);
	free(cpu);
	free(cuda);
	free(ids);
}

/*
 * The demo's model: what both backends think of each token of an answer that the model gave from a
 * context, as in the demo; the prompt in chunks, the answer one by one, as a decoder meets them.
 */
static void
test_smollm2(const char *models)
{
	char		path[512];
	json	   *golden = golden_read("test/data/generations/greedy_smollm2_F32.json");
	const json_value *item = json_root(golden)->child->next->next->next;
	int			n_prompt;
	int			n_answer;
	int32_t    *prompt = golden_ids(json_get(item, "prompt_ids"), &n_prompt);
	int32_t    *answer = golden_ids(json_get(item, "gen_ids"), &n_answer);
	int32_t    *all = malloc(sizeof(int32_t) * (size_t) (n_prompt + n_answer));
	float	   *logits[2] = {NULL, NULL};
	int			vocab = 0;
	bool		good = true;

	n_answer = n_answer < 16 ? n_answer : 16;
	memcpy(all, prompt, sizeof(int32_t) * (size_t) n_prompt);
	memcpy(all + n_prompt, answer, sizeof(int32_t) * (size_t) n_answer);
	snprintf(path, sizeof(path), "%s/smollm2.gguf", models);
	for (int i = 0; i < 2; i++)
	{
		golden_model g;

		on_cuda = i == 1;
		if (!golden_open(&g, path, 512, POOLING_NONE, false))
			return;
		vocab = model_get_config(g.files)->vocab_size;
		logits[i] = malloc(sizeof(float) * (size_t) (n_answer + 1) * (size_t) vocab);
		good &= golden_logits(&g, all, n_prompt, n_prompt - 1, 64, in_order, logits[i]) &&
			golden_span(&g, all, n_prompt, n_prompt + n_answer, n_prompt, 1, in_order,
						logits[i] + vocab);
		golden_close(&g);
	}
	if (ok(good, "SmolLM2: both run"))
		/* the CPU rounds what a prompt's rows multiply to 8 bits, the device to 11 */
		compare_logits("SmolLM2", logits[0], logits[1], n_answer + 1, vocab, 2.5, 0.25);
	for (int i = 0; i < 2; i++)
		free(logits[i]);
	free(all);
	free(prompt);
	free(answer);
	json_free(golden);
}

int
main(void)
{
	const char *models = getenv("RAG_TEST_MODELS");

	for (int i = 0; i < 4096; i++)
		in_order[i] = i;
	test_decoder(TINY_GQA, 40, 17, (graph_limits) {0}, 0.02);
	test_decoder(TINY_GQA, 5, 1, (graph_limits) {0}, 0.02);
	test_decoder(TINY_GQA, 40, 40, (graph_limits) {.kv_f32 = true}, 0.02);
	test_decoder(TINY_ROPE, 40, 17, (graph_limits) {0}, 0.02);
	test_decoder(TINY_GQA, 40, 17, (graph_limits) {.bf16 = true}, 0.16);
	test_decoder(TINY_GQA, 5, 1, (graph_limits) {.bf16 = true}, 0.16);
	test_decoder(TINY_ROPE, 40, 40, (graph_limits) {.bf16 = true,.kv_f32 = true}, 0.16);
	if (models == NULL || *models == '\0')
		tap_skip("RAG_TEST_MODELS names no models");
	else if (getenv("RAG_TEST_QUICK") == NULL)
		test_smollm2(models);
	return tap_done();
}
